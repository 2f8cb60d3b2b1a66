"""Keeps files that people send, and hands them out by name again; everybody has their own.

The files lie beside the account, in a folder for each person, as they are: keep the bot on a disk that is encrypted.
"""

from pathlib import Path

from ramson import Bot, Message
from ramson import filters as f

MOST = 50  # files of one person
LARGEST = 10_000_000  # bytes
SHOWN_AS = "unnamed"

bot = Bot("filedrop.ramson", name="File drop")
drop = Path("files")


def folder(message: Message) -> Path:
    """Return the folder of a message's sender."""
    return drop / message.sender.hex


def names(message: Message) -> list[str]:
    """Return what somebody has here."""
    home = folder(message)
    return sorted(path.name for path in home.iterdir()) if home.is_dir() else []


@bot.on(f.attachment)
async def keep(message: Message) -> str:
    """Keep what was sent."""
    home = folder(message)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = []
    for attachment in message.attachments:
        if len(names(message)) >= MOST:
            return "That is all that I keep of one person. /drop NAME makes room."
        if attachment.size > LARGEST:
            return f"{attachment.name or SHOWN_AS} is too large."
        path = await attachment.save(home)  # a free name like its own, fit for this disk
        kept.append(path.name)
    return f"Kept: {', '.join(kept)}"


@bot.on(f.command("list"))
async def show(message: Message) -> str:
    """Name what there is."""
    return "\n".join(names(message)) or "I have nothing of yours."


@bot.on(f.command("get"))
async def give(message: Message, *, name: str) -> str | None:
    """Hand a file out again."""
    if name not in names(message):  # so a name never leads elsewhere
        return "I have no such file of yours. /list names those I have."
    await message.reply(attachments=[folder(message) / name])
    return None


@bot.on(f.command("drop"))
async def forget(message: Message, *, name: str) -> str:
    """Delete a file."""
    if name not in names(message):
        return "I have no such file of yours."
    (folder(message) / name).unlink()
    return "Deleted."


@bot.on(f.text)
async def usage() -> str:
    """Tell what the bot does."""
    return "Send files and I keep them. /list, /get NAME, /drop NAME"


if __name__ == "__main__":
    bot.run()
