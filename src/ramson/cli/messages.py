"""`ramson send` and `ramson listen`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ramson.cli.options import (
    AccountOption,
    JsonOption,
    NetworkOption,
    PassphraseFileOption,
    read_passphrase,
    resolve_network,
)
from ramson.cli.terminal import Interrupted, following, note, printable, progress, result, result_json, run
from ramson.crypto.account import AccountId
from ramson.errors import RemoteError
from ramson.messenger import Client, Kind, Message, Receipt, State
from ramson.messenger.letters import MAX_TEXT, check_recipient, check_text
from ramson.network import NetworkProfile

COPY_SECONDS = 10.0  # how long a sent message's copy for our other devices is waited for
WAITS_ON = "The message stays in the outbox and goes out the next time `ramson send` or `ramson listen` runs."


class NotSent(RemoteError):
    """A message did not go out in the time given, or never can."""


def send(
    to: Annotated[str, typer.Argument(metavar="ID", help="The account id to write to.")],
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="The text; - reads it from standard input, where nobody else sees it.")
    ],
    account: AccountOption,
    *,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is stored, or leave it queued.")] = True,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait at most.")] = 120.0,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Send a text and say by how many nodes of the recipient's swarm it is stored."""
    body = sys.stdin.read(4 * MAX_TEXT + 1).removesuffix("\n") if text == "-" else text
    recipient = AccountId.parse(to)
    check_recipient(recipient)
    check_text(body)
    profile = resolve_network(network)
    passphrase = read_passphrase(passphrase_file)
    try:
        receipt = run(_send(account, passphrase, profile, recipient, body, timeout if wait else 0))
    except Interrupted:
        note(WAITS_ON)
        raise
    if json:
        result_json(receipt_fields(receipt))
    elif receipt.state is State.SENT:
        result(f"sent: stored by {receipt.stored} of {receipt.total} nodes")
    else:
        result(receipt.state.value)
    if receipt.state is State.FAILED:
        raise NotSent(f"the message cannot be sent: {receipt.reason}")
    if not wait:
        note(WAITS_ON)


def listen(
    account: AccountOption,
    *,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Print messages as they come, until Ctrl-C; first those that came since the last time."""
    profile = resolve_network(network)
    passphrase = read_passphrase(passphrase_file)
    with contextlib.suppress(Interrupted):
        run(_listen(account, passphrase, profile, as_json=json))


async def _send(
    path: Path, passphrase: str, profile: NetworkProfile, to: AccountId, text: str, seconds: float
) -> Receipt:
    with progress("Opening the account…") as show:
        async with Client.open(path, passphrase=passphrase, network=profile, receive=False) as me:
            receipt = await me.send(to, text, wait=False)
            if not seconds:
                return receipt
            async with following(me.watch_path(), show):
                try:
                    async with asyncio.timeout(seconds):
                        receipt = await me.settled(receipt)
                except TimeoutError:
                    raise NotSent(f"not sent within {seconds:g} s: {me.path.reason}", remedy=WAITS_ON) from None
                show("Leaving a copy for your other devices…")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(COPY_SECONDS):
                        await me.drain()
            return receipt


async def _listen(path: Path, passphrase: str, profile: NetworkProfile, *, as_json: bool) -> None:
    async with _opened(path, passphrase, profile) as me, following(me.watch_path(), note):
        async for message in me.messages():
            if as_json:
                result_json(_message_fields(message))
            else:
                result(line(message))


@contextlib.asynccontextmanager
async def _opened(path: Path, passphrase: str, profile: NetworkProfile) -> AsyncIterator[Client]:
    async with contextlib.AsyncExitStack() as stack:
        with progress("Opening the account…"):
            me = await stack.enter_async_context(Client.open(path, passphrase=passphrase, network=profile))
        yield me


def line(message: Message) -> str:
    """Return a message as one line (or more, if it has more) for a person."""
    files = f" [attachments, which cannot be shown here: {len(message.attachments)}]" if message.attachments else ""
    body = printable(message.body) if message.kind is Kind.TEXT else f"({message.kind.value})"
    reactions = "".join(f" {printable(each.emoji)}" for each in message.reactions)
    return f"{_when(message.sent_ms)} {message.sender} {body}{files}{reactions}"


def _when(sent_ms: int) -> str:
    try:
        return datetime.fromtimestamp(sent_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return "(no such date)"


def _message_fields(message: Message) -> dict[str, object]:
    return {
        "sender": str(message.sender),
        "sent_ms": message.sent_ms,
        "hash": message.hash,
        "body": message.body,
        "attachments": len(message.attachments),
    }


def receipt_fields(receipt: Receipt) -> dict[str, object]:
    """Return a receipt for programs."""
    return {
        "state": receipt.state.value,
        "hash": receipt.hash,
        "stored": receipt.stored,
        "total": receipt.total,
        "sent_ms": receipt.sent_ms,
        "reason": receipt.reason,
    }
