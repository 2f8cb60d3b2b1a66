"""A bot as a program: what `Bot.run` offers on the command line.

    python echo.py            work until Ctrl-C or SIGTERM; prints `ready` when it does
    python echo.py init       make the account, print its id and, this once, its recovery phrase; with --keyring its
                              key is kept in the system's keyring, and no passphrase is asked for
    python echo.py id         print the account id
    python echo.py qr         show the account id as a QR code
    python echo.py doctor     look whether it could work: the file, the way into the network, its mailbox

Exit codes: 0 done, or told to stop; 1 it did not work; 2 the command line was wrong; 130 ended by Ctrl-C while it did
anything else but work.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ramson import streams
from ramson.bot.account_secret import read_passphrase
from ramson.errors import LocalError, RemoteError, in_one_line
from ramson.messenger import Client, account, keyring_keys
from ramson.messenger.vault import check_absent
from ramson.network import Light, NetworkProfile
from ramson.reach import NO_WISHES, doctor, kept
from ramson.world import real
from ramson.world.real.event_loop import new_event_loop

if TYPE_CHECKING:
    from ramson.bot.bot import Bot

READY: Final = "ready"
DOCTOR_SECONDS: Final = 60.0  # for the paths, and again for the mailbox
NETWORK_VARIABLE: Final = "RAMSON_NETWORK"
_COMMANDS: Final = {
    "serve": "work until Ctrl-C (this is what happens without a command)",
    "init": "make the account; print its id and, this once, its recovery phrase",
    "id": "print the account id",
    "qr": "show the account id as a QR code",
    "doctor": "look whether it could work: the file, the way into the network, its mailbox",
}


def main(bot: Bot, arguments: Sequence[str] | None) -> None:
    """Do what the arguments (if None: the program's own) say, and exit if it does not work."""
    with streams.ending(lambda error: print(in_one_line(error), file=sys.stderr)):  # noqa: T201 - it is printed here
        _run(bot, arguments)


def _run(bot: Bot, arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="\n".join(f"{name:7} {what}" for name, what in _COMMANDS.items()),
    )
    parser.add_argument("command", nargs="?", choices=list(_COMMANDS), default="serve")
    parser.add_argument(
        "--network",
        metavar="mainnet|testnet|FILE",
        default=os.environ.get(NETWORK_VARIABLE),
        help="the network to join, or the network.json of one of your own",
    )
    parser.add_argument("--passphrase-file", metavar="FILE", type=Path, help="read the passphrase from here")
    parser.add_argument(
        "--keyring", action="store_true", help="with init: keep the key in the system's keyring, not a passphrase"
    )
    parser.add_argument(
        "--subscribe",
        action="store_true",
        help="have messages come at once: two of the nodes that keep them learn this machine's address and whose it is",
    )
    given = parser.parse_args(arguments)
    if given.keyring and given.command != "init":
        parser.error("--keyring is for init; what it made is opened without being told")
    commands: dict[str, Callable[[Bot], Coroutine[None, None, None]]] = {
        "serve": _serve,
        "init": partial(_init, keyring=given.keyring),
        "id": _id,
        "qr": _qr,
        "doctor": _doctor,
    }
    if given.network is not None:
        bot.network = NetworkProfile.load(given.network)
    if given.passphrase_file is not None:
        bot.passphrase_file = given.passphrase_file
    bot.subscribe = bot.subscribe or given.subscribe
    if bot.reach is None:
        bot.reach = kept.load(os.environ)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(commands[given.command](bot))


async def _serve(bot: Bot) -> None:
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, bot.stop)
    async with bot:
        streams.mention(READY)
        await bot.stopped()


async def _init(bot: Bot, *, keyring: bool) -> None:
    check_absent(bot.path)
    world = bot.world or real.world()
    if keyring:
        keys = await keyring_keys.create(bot.path, world=world, name=bot.name)
    else:
        passphrase = read_passphrase(bot.passphrase_file, new=True)
        keys = await account.create(bot.path, passphrase, world=world, name=bot.name)
    streams.say(str(keys.id))
    sys.stderr.write("The recovery phrase is the account: write it down, and tell it to nobody:\n")
    streams.say(account.phrase_of_keys(keys))


async def _id(bot: Bot) -> None:
    streams.say(await _account_id(bot))


async def _qr(bot: Bot) -> None:
    import segno  # noqa: PLC0415 - only this command needs it

    identity = await _account_id(bot)
    segno.make(identity, micro=False).terminal(out=sys.stdout, compact=True)
    streams.say(identity)


async def _doctor(bot: Bot) -> None:
    """Say of each thing a bot needs that it is there.  Raises LocalError, RemoteError for what is not."""
    handlers, jobs = sum(1 for _ in bot.handlers()), sum(1 for _ in bot.jobs())
    if not handlers + jobs:
        raise LocalError("there is nothing to do", remedy="Declare a handler with @bot.on, or a job with @bot.every.")
    streams.say(f"ok  {handlers} handlers and {jobs} jobs are declared")
    if not bot.path.exists():
        raise LocalError(f"there is no account file at {bot.path}", remedy="Make it with `init`.")
    if os.name == "posix" and bot.path.stat().st_mode & 0o077:
        raise LocalError(f"others can read {bot.path}", remedy=f"Run: chmod 600 {bot.path}")
    async with bot.make_client() as client:
        streams.say(f"ok  the account file opens: {client.account_id}")
        status = client.path
        with suppress(TimeoutError):
            async with asyncio.timeout(DOCTOR_SECONDS):
                async for status in client.watch_path():
                    if status.light is Light.GREEN:
                        break
        if status.light is not Light.GREEN:
            await _tell_why(bot)
            raise RemoteError(f"the light is {status.light.value}: {status.reason}")
        streams.say("ok  there are two paths into the network")
        try:
            async with asyncio.timeout(DOCTOR_SECONDS):
                await client.synced()
        except TimeoutError:
            raise RemoteError(
                "the nodes that keep its messages do not answer", remedy="Try again in a minute."
            ) from None
        streams.say("ok  the nodes that keep its messages answer")
        if bot.subscribe:
            await _told(client)
            streams.say("ok  nodes tell it of messages at once")


async def _told(client: Client) -> None:
    """Wait until nodes tell of messages.  Raises RemoteError."""
    with closing(client.events()) as events:
        try:
            async with asyncio.timeout(DOCTOR_SECONDS):
                while not client.told_by:
                    await anext(events)
        except TimeoutError:
            raise RemoteError(
                "no node tells it of messages at once", remedy="Try again in a minute, or leave out --subscribe."
            ) from None


async def _tell_why(bot: Bot) -> None:
    """Examine what can be reached, by the ways that the bot may take, and print what is wrong and what helps."""
    world = bot.world or real.world()
    nodes = await doctor.known_nodes(world, bot.network, None)
    state = bot.path.with_name(bot.path.name + ".transports")
    plan = doctor.make_plan(world, bot.network, bot.reach or NO_WISHES, nodes=nodes, state=state)
    streams.say("\n".join(["Looking why. This contacts:", *(f"    {line}" for line in plan.contacts)]))
    try:
        diagnosis = doctor.diagnose(await doctor.examine(world, plan))
    finally:
        if bot.world is None:
            await world.net.close()
    streams.say("\n".join([diagnosis.verdict, *diagnosis.advice]))


async def _account_id(bot: Bot) -> str:
    if not bot.path.exists():
        raise LocalError(f"there is no account file at {bot.path}", remedy="Make it with `init`.")
    async with bot.make_client(connect=False) as client:
        return str(client.account_id)
