"""The directory of a new bot: a program that works, its test, and what one needs to know to go on.  Spec: SDK."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ramson.errors import LocalError

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


class BadBotName(LocalError):
    """A name cannot be that of a bot's directory."""


class DirectoryExists(LocalError):
    """There is something already where a new bot is to be."""


def start_bot(name: str, parent: Path) -> Path:
    """Make the directory `name` in `parent` and return it; nothing that is there is touched.

    Raises BadBotName, DirectoryExists, OSError.
    """
    if not _NAME.fullmatch(name):
        raise BadBotName(f"{name!r} cannot be the name of a bot", remedy="Take letters, digits, - and _; up to 40.")
    directory = parent / name
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise DirectoryExists(f"there is a {directory} already", remedy="Take another name, or remove it.")
    directory.mkdir(exist_ok=True)
    for file, text in FILES.items():
        with (directory / file).open("x", encoding="utf-8") as opened:
            opened.write(text.replace("NAME", name))
    return directory


FILES: Final = {
    "bot.py": '''\
"""NAME, a bot on Session."""

from ramson import Bot, Message
from ramson import filters as f

bot = Bot("NAME.ramson", name="NAME")  # the encrypted account file


@bot.on(f.command("help", "start"))
async def usage() -> str:
    """Tell what the bot does."""
    return "/sum NUMBERS adds numbers.  Everything else is said back to you."


@bot.on(f.command("sum"))
async def add(*numbers: float) -> str:
    """Add numbers, as in: /sum 1 2.5."""
    return f"{sum(numbers):g}"


@bot.on(f.text)
async def echo(message: Message) -> str:
    """Say it too."""
    return message.body


if __name__ == "__main__":
    bot.run()
''',
    "test_bot.py": '''\
"""What NAME does, on a whole network in this process and in virtual time: `pytest`."""

from bot import bot

from ramson.testing import FakeNetwork, on_fake_network


@on_fake_network
async def test_it_adds_and_answers(net: FakeNetwork) -> None:
    async with net.running(bot) as address, net.person("Alice") as alice:
        await alice.say(address, "/sum 1 2.5")
        assert (await alice.hear()).body == "3.5"
        await alice.say(address, "/sum one")
        assert (await alice.hear()).body == "“numbers” has to be a number.\\nUsage: /sum [numbers…]"
        await alice.say(address, "hello")
        assert (await alice.hear()).body == "hello"
''',
    "README.md": """\
# NAME

A bot on [Session](https://getsession.org), written with ramson.

    pip install -r requirements.txt
    pytest                          # what it does, on a network in the test's own process
    python bot.py init              # makes the account: prints its id and, this once, its recovery phrase
    python bot.py doctor            # looks whether it could work
    python bot.py                   # works until Ctrl-C

The passphrase of the account file is asked for, or comes from `RAMSON_PASSPHRASE` or `--passphrase-file FILE`. After
`init --keyring` there is none: the keyring of your desktop opens the account while you are logged in.
`--network FILE` takes the bot to a network of your own (`ramson devnet`).
With `--subscribe` messages come at once, and two of the nodes that keep them learn this machine's address and the
bot's id; without it they are asked for every few seconds, by ways that hide where it runs.

Whoever has `NAME.ramson` and its passphrase, or the recovery phrase, is this bot: keep them out
of repositories.
""",
    "requirements.txt": """\
ramson[node]  # the nodes are for the tests
pytest
""",
    ".gitignore": """\
*.ramson
*.ramson.*
passphrase*
.venv/
__pycache__/
.pytest_cache/
""",
}
