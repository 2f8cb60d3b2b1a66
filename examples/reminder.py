"""Reminds you: `/in 10 call the dentist` writes back in ten minutes.

What is to be said is kept in a small file beside the account, so that a restart forgets nothing.  The file is not
encrypted: keep the bot on a disk that is.
"""

import json
import time  # noqa: TID251 - a script of the world outside; its test sets `now`
from pathlib import Path

from ramson import Bot, Message
from ramson import filters as f

LONGEST = 60 * 24 * 365  # minutes
MOST = 100  # of one person

bot = Bot("reminder.ramson", name="Reminder")
now = time.time
notes_file = Path("reminders.json")


def load() -> list[dict[str, object]]:
    """Return what is to be said."""
    return json.loads(notes_file.read_text()) if notes_file.exists() else []


def save(notes: list[dict[str, object]]) -> None:
    """Keep what is to be said; the file is the old or the new one, never half of one."""
    fresh = notes_file.with_suffix(".new")
    fresh.write_text(json.dumps(notes))
    fresh.replace(notes_file)


@bot.on(f.command("in"))
async def remind(message: Message, minutes: float, *, text: str) -> str:
    """Take a note."""
    if not 0 < minutes <= LONGEST:
        return "That is not within a year."
    notes = load()
    person = message.sender.hex
    if sum(note["to"] == person for note in notes) >= MOST:
        return "That is enough for now."
    save([*notes, {"at": now() + minutes * 60, "to": person, "text": text}])
    return "I will."


@bot.on(f.text)
async def usage() -> str:
    """Tell what the bot does."""
    return "Write /in MINUTES TEXT, as in: /in 10 call the dentist"


@bot.every(seconds=5)
async def speak(it: Bot) -> None:
    """Say what is due."""
    for note in [note for note in load() if float(str(note["at"])) <= now()]:
        await it.send(str(note["to"]), f"You wanted to be told: {note['text']}", wait=False)
        save([other for other in load() if other != note])


if __name__ == "__main__":
    bot.run()
