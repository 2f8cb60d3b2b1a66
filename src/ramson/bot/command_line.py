"""A bot as a program: what `Bot.run` offers on the command line.

    python echo.py            work until Ctrl-C or SIGTERM; prints `ready` when it does
    python echo.py init       make the account, print its id and, this once, its recovery phrase
    python echo.py id         print the account id
    python echo.py qr         show the account id as a QR code

Exit codes: 0 done; 1 it did not work; 2 the command line was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ramson.bot.account_secret import read_passphrase
from ramson.errors import LocalError, RamsonError
from ramson.messenger import account
from ramson.messenger.vault import check_absent
from ramson.network import MAINNET, TESTNET, NetworkProfile
from ramson.protocol import network_file
from ramson.world import real

if TYPE_CHECKING:
    from ramson.bot.bot import Bot

READY: Final = "ready"
NETWORK_VARIABLE: Final = "RAMSON_NETWORK"
_COMMANDS: Final = {
    "serve": "work until Ctrl-C (this is what happens without a command)",
    "init": "make the account; print its id and, this once, its recovery phrase",
    "id": "print the account id",
    "qr": "show the account id as a QR code",
}


def main(bot: Bot, arguments: Sequence[str] | None) -> None:
    """Do what the arguments (if None: the program's own) say, and exit if it does not work."""
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="\n".join(f"{name:6} {what}" for name, what in _COMMANDS.items()),
    )
    parser.add_argument("command", nargs="?", choices=list(_COMMANDS), default="serve")
    parser.add_argument(
        "--network",
        metavar="mainnet|testnet|FILE",
        default=os.environ.get(NETWORK_VARIABLE),
        help="the network to join, or the network.json of one of your own",
    )
    parser.add_argument("--passphrase-file", metavar="FILE", type=Path, help="read the passphrase from here")
    given = parser.parse_args(arguments)
    try:
        if given.network is not None:
            bot.network = _profile(given.network)
        if given.passphrase_file is not None:
            bot.passphrase_file = given.passphrase_file
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run({"serve": _serve, "init": _init, "id": _id, "qr": _qr}[given.command](bot))
    except RamsonError as error:
        sys.stderr.write(f"{error}. {error.remedy}".strip() + "\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


async def _serve(bot: Bot) -> None:
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, bot.stop)
    async with bot:
        _print(READY)
        await bot.stopped()


async def _init(bot: Bot) -> None:
    check_absent(bot.path)
    passphrase = read_passphrase(bot.passphrase_file, new=True)
    keys = await account.create(bot.path, passphrase, world=real.world(), name=bot.name)
    _print(str(keys.id))
    sys.stderr.write("The recovery phrase is the account: write it down, and tell it to nobody:\n")
    _print(account.phrase_of_keys(keys))


async def _id(bot: Bot) -> None:
    _print(await _account_id(bot))


async def _qr(bot: Bot) -> None:
    import segno  # noqa: PLC0415 - only this command needs it

    identity = await _account_id(bot)
    segno.make(identity, micro=False).terminal(out=sys.stdout, compact=True)
    _print(identity)


async def _account_id(bot: Bot) -> str:
    if not bot.path.exists():
        raise LocalError(f"there is no account file at {bot.path}", remedy="Make it with `init`.")
    async with bot.make_client(connect=False) as client:
        return str(client.account_id)


def _profile(text: str) -> NetworkProfile:
    named = {profile.name: profile for profile in (MAINNET, TESTNET)}
    if text in named:
        return named[text]
    try:
        content = Path(text).read_bytes()
    except OSError as error:
        raise LocalError(
            f"there is no network {text!r}: {error.strerror}", remedy="Say mainnet, testnet, or a network.json file."
        ) from None
    return NetworkProfile.from_file(network_file.parse(content))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - there is none on some systems
    except ImportError:
        return None
    return uvloop.new_event_loop
