"""A channel with an editor: anybody hands in a post, its owner approves it later, and subscribers get it.

MODERATOR_OWNER is the account id of the owner, who writes /queue, /approve NUMBER and /reject NUMBER [WHY].
Posts go out without their author.  What waits and who subscribed is in a SQLite file beside the account, which is not
encrypted: keep the bot on a disk that is.  Whose post was decided about is forgotten at once.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from ramson import Bot, Message, Router
from ramson import filters as f

MOST_WAITING = 5  # of one person
SHOWN = 10  # of the queue at a time

bot = Bot("moderator.ramson", name="Moderator")
owner = os.environ.get("MODERATOR_OWNER", "")
file = Path("moderator.sqlite")
editor = Router(f.when(lambda message: message.sender.hex == owner))


def run(order: str, *values: object) -> list[tuple[object, ...]]:
    """Do one thing in the database, and return its rows."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS posts (number INTEGER PRIMARY KEY AUTOINCREMENT, author, text)")
        database.execute("CREATE TABLE IF NOT EXISTS subscribers (id PRIMARY KEY)")
        return database.execute(order, values).fetchall()


def take(number: int) -> tuple[str, str] | None:
    """Take a post out of the queue, and return its author and text; None if it is not there."""
    found = run("DELETE FROM posts WHERE number = ? RETURNING author, text", number)
    return (str(found[0][0]), str(found[0][1])) if found else None


@editor.on(f.command("queue"))
async def queue() -> str:
    """Show what waits."""
    rows = run("SELECT number, text FROM posts ORDER BY number LIMIT ?", SHOWN)
    return "\n\n".join(f"{number}: {text}" for number, text in rows) or "Nothing waits."


@editor.on(f.command("approve"))
async def approve(it: Bot, number: int) -> str:
    """Send a post to everyone."""
    post = take(number)
    if post is None:
        return f"There is no post {number}."
    people = [str(person) for (person,) in run("SELECT id FROM subscribers")]
    for person in people:
        await it.send(person, post[1], wait=False)  # in the outbox: it goes out even if we are killed
    await it.send(post[0], "Your post was approved.", wait=False)
    return f"It goes to {len(people)} people."


@editor.on(f.command("reject"))
async def reject(it: Bot, number: int, *, why: str = "") -> str:
    """Throw a post away, and tell its author."""
    post = take(number)
    if post is None:
        return f"There is no post {number}."
    await it.send(post[0], f"Your post was not taken. {why}".strip(), wait=False)
    return "Rejected."


bot.include(editor)


@bot.on(f.command("subscribe"))
async def subscribe(message: Message) -> str:
    """Send posts to somebody from now on."""
    run("INSERT OR IGNORE INTO subscribers VALUES (?)", message.sender.hex)
    return "You get what is approved. /unsubscribe ends it."


@bot.on(f.command("unsubscribe", "stop"))
async def unsubscribe(message: Message) -> str:
    """Send no more."""
    run("DELETE FROM subscribers WHERE id = ?", message.sender.hex)
    return "You get no more."


@bot.on(f.command("post"))
async def post(message: Message, it: Bot, *, text: str) -> str:
    """Take a post for later."""
    author = message.sender.hex
    if len(run("SELECT 1 FROM posts WHERE author = ?", author)) >= MOST_WAITING:
        return "That is enough until some of yours were decided about."
    ((number,),) = run("INSERT INTO posts (author, text) VALUES (?, ?) RETURNING number", author, text)
    if owner:
        await it.send(owner, f"A post waits: /approve {number} or /reject {number}\n\n{text}"[:2000], wait=False)
    return "It waits for approval."


@bot.on(f.text)
async def usage() -> str:
    """Tell what the bot does."""
    return "/subscribe to get posts, /post TEXT to hand one in; it goes out, without your name, when it was approved."


if __name__ == "__main__":
    if not owner:
        raise SystemExit("Set MODERATOR_OWNER to the account id of who is to approve posts.")
    bot.run()
