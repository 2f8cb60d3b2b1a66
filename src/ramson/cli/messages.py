"""`ramson send` and `ramson listen`."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from ramson.cli.lines import receipt_fields, show_event, show_message
from ramson.cli.names import Typed, first_message, names_of, never_written_to, read_person
from ramson.cli.options import (
    AccountOption,
    JsonOption,
    NetworkOption,
    PassphraseFileOption,
    SubscribeOption,
    account_passphrase,
    resolve_network,
)
from ramson.cli.people import know_first
from ramson.cli.terminal import (
    following,
    note,
    progress,
    result,
    result_json,
    run,
    run_until_stopped,
)
from ramson.cli.way_out import reach_settings
from ramson.crypto.account import AccountId
from ramson.errors import LocalError, RemoteError
from ramson.messenger import Client, EventStream, FileToSend, MessageUploading, Receipt, State
from ramson.messenger.letters import MAX_TEXT, check_recipient, check_text
from ramson.network import NetworkProfile
from ramson.protocol.content import CommunityInvitation, LinkPreview
from ramson.world import real

COPY_SECONDS = 10.0  # how long a sent message's copy for our other devices, and what else they are told, is waited for
_LINK: Final = re.compile(r"https://\S+")
WAITS_ON = "The message stays in the outbox and goes out the next time `ramson send` or `ramson listen` runs."


class NotSent(RemoteError):
    """A message did not go out in the time given, or never can."""


def send(
    to: Annotated[
        str, typer.Argument(metavar="ID", help="The account id to write to, or the nickname that you gave it.")
    ],
    account: AccountOption,
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT",
            help="The text; - reads it from standard input, where nobody else sees it.  Not needed with files.",
            show_default=False,
        ),
    ] = "",
    *,
    files: Annotated[
        list[Path] | None, typer.Option("--file", metavar="PATH", help="Send a file with it, up to 10 MB; repeatable.")
    ] = None,
    voice: Annotated[
        Path | None, typer.Option("--voice", metavar="PATH", help="Send a recording as a voice message.")
    ] = None,
    keep_metadata: Annotated[
        bool,
        typer.Option("--keep-metadata", help="Leave in pictures what they tell about place, time and device."),
    ] = False,
    quote: Annotated[
        int | None, typer.Option("--quote", metavar="MESSAGE", help="The number of the message this one answers to.")
    ] = None,
    preview: Annotated[
        str,
        typer.Option(
            "--preview", metavar="TITLE", help="Show this title with the first https link; nothing is fetched."
        ),
    ] = "",
    community: Annotated[
        tuple[str, str] | None,
        typer.Option("--invite", metavar="NAME URL", help="Invite to the community of this name and address."),
    ] = None,
    fetch: Annotated[
        bool,
        typer.Option(
            "--fetch",
            help="First ask what your other devices changed: name, nicknames, timers, who is blocked."
            "  Otherwise it is as the last `listen`, `chat` or `--fetch` left it.",
        ),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is stored, or leave it queued.")] = True,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait at most.")] = 120.0,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Send a text, files, or both, and say by how many nodes of the recipient's swarm it is stored.

    The first time after `ramson account restore` it asks what your other devices know, as with --fetch.
    """
    body = sys.stdin.read(4 * MAX_TEXT + 1).removesuffix("\n") if text == "-" else text
    letter = _Letter(
        read_person(to),
        body,
        files=(
            *(FileToSend(path, keep_metadata=keep_metadata) for path in files or ()),
            *((FileToSend(voice, voice=True),) if voice else ()),
        ),
        quote=quote,
        preview=preview,
        invitation=CommunityInvitation(url=community[1], name=community[0]) if community else None,
        fetch=fetch,
        wait=wait,
        seconds=timeout,
    )
    if community and not all(each.strip() for each in community):
        raise LocalError(
            "an invitation needs the name and the address of the community", remedy="Say --invite NAME URL."
        )
    if isinstance(letter.to, AccountId):
        check_recipient(letter.to)
    if body or not (letter.files or letter.invitation):
        check_text(body)
    profile = resolve_network(network)
    passphrase = account_passphrase(account, passphrase_file)
    receipt = run(_send(account, passphrase, profile, letter, tell_first=not json))
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
    subscribe: SubscribeOption = False,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Print messages as they come, until Ctrl-C; first those that came since the last time.

    Of those, what was read in the meantime, in `chat` or on another device, is only printed in JSON, for programs.
    What other devices of the account send is printed when it is seen here, with an arrow to whom; in JSON as `synced`.
    """
    profile = resolve_network(network)
    passphrase = account_passphrase(account, passphrase_file)
    run_until_stopped(_listen(account, passphrase, profile, subscribe=subscribe, as_json=json))


@dataclass(frozen=True, slots=True)
class _Letter:
    """What the command line says is to be sent, and how."""

    to: Typed
    text: str
    files: tuple[FileToSend, ...] = ()
    quote: int | None = None
    preview: str = ""
    invitation: CommunityInvitation | None = None
    fetch: bool = False
    wait: bool = True
    seconds: float = 120.0  # for all of it

    def previews(self) -> tuple[LinkPreview, ...]:
        """Return the preview of the first link.  Raises BadText where there is none."""
        if not self.preview:
            return ()
        found = _LINK.search(self.text)
        return (LinkPreview(found[0] if found else "", self.preview),)


async def _send(path: Path, passphrase: str, profile: NetworkProfile, letter: _Letter, *, tell_first: bool) -> Receipt:
    first: list[str] = []
    try:
        with progress("Opening the account…") as show:
            async with Client.open(
                path, passphrase=passphrase, network=profile, receive=False, reach=reach_settings()
            ) as me:
                until = asyncio.get_running_loop().time() + letter.seconds
                if letter.fetch or me.restoring:  # without, a text might stay that was to disappear
                    await know_first(me, show, "; nothing was sent or kept", letter.seconds)
                return await _sent(me, letter, until, show, first.append)
    finally:  # also when it waits for long, and somebody ends it
        if tell_first and first:
            result(first[0])


async def _sent(
    me: Client, letter: _Letter, until: float, show: Callable[[str], None], tell_first: Callable[[str], None]
) -> Receipt:
    quoted = None if letter.quote is None else me.message(letter.quote)
    if letter.quote is not None and quoted is None:
        raise LocalError(f"there is no message {letter.quote}", remedy="`ramson history ID` shows numbers.")
    names = names_of(me)
    to = names.meant(letter.to)
    new = never_written_to(me, to)
    receipt = await me.send(
        to,
        letter.text,
        wait=False,
        quote=quoted,
        attachments=letter.files,
        previews=letter.previews(),
        invitation=letter.invitation,
    )
    if new:
        tell_first(first_message(names, to))
    if not letter.wait:
        return receipt
    async with following(me.watch_path(), show), following_upload(me.events(), receipt, show):
        try:
            async with asyncio.timeout_at(until):
                receipt = await me.settled(receipt)
        except TimeoutError:
            raise NotSent(f"not sent within {letter.seconds:g} s: {me.path.reason}", remedy=WAITS_ON) from None
        except asyncio.CancelledError:  # Ctrl-C
            note(WAITS_ON)
            raise
        show("Telling your other devices…")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COPY_SECONDS):
                await me.drain()
                if me.untold:  # as of a new contact
                    await me.get_in_step()
    return receipt


@contextlib.asynccontextmanager
async def following_upload(events: EventStream, receipt: Receipt, show: Callable[[str], None]) -> AsyncIterator[None]:
    """Show how far the files of a message are for as long as the block runs."""

    async def follow() -> None:
        async for event in events:
            if isinstance(event, MessageUploading) and event.receipt.id == receipt.id:
                show(event.receipt.summary)

    if receipt.to_upload:
        show(receipt.summary)
    task = asyncio.get_running_loop().create_task(follow(), name="upload display")
    try:
        yield
    finally:
        events.close()
        await task


async def _listen(path: Path, passphrase: str, profile: NetworkProfile, *, subscribe: bool, as_json: bool) -> None:
    async with (
        _opened(path, passphrase, profile, subscribe=subscribe) as me,
        following(me.watch_path(), note),
        _telling(me, as_json=as_json),
    ):
        began_ms = real.world().clock.now()
        async for message in me.messages():
            if as_json or message.sent_ms >= began_ms or not message.read:
                show_message(message, names_of(me), as_json=as_json)


@contextlib.asynccontextmanager
async def _telling(me: Client, *, as_json: bool) -> AsyncIterator[None]:
    """Print what happens beside messages for as long as the block runs."""
    events = me.events()

    async def tell() -> None:
        async for event in events:
            show_event(event, partial(names_of, me), as_json=as_json)

    task = asyncio.get_running_loop().create_task(tell(), name="events")
    try:
        yield
    finally:
        events.close()
        await task


@contextlib.asynccontextmanager
async def _opened(path: Path, passphrase: str, profile: NetworkProfile, *, subscribe: bool) -> AsyncIterator[Client]:
    async with contextlib.AsyncExitStack() as stack:
        with progress("Opening the account…"):
            me = await stack.enter_async_context(
                Client.open(path, passphrase=passphrase, network=profile, subscribe=subscribe, reach=reach_settings())
            )
        yield me
