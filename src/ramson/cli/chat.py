"""`ramson chat`: one conversation, line by line: what was said, what comes, and what one types.

A line is a message.  Lines that begin with a slash are orders:

    /react 👍     put an emoji to the last message of the other side
    /unsend      take back the last message of one's own
    /quit        end; so does the end of the input
    //text       send a text that begins with one slash
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from ramson.cli.messages import line, receipt_fields
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
from ramson.errors import LocalError
from ramson.messenger import (
    Client,
    Event,
    EventStream,
    Kind,
    Message,
    MessageReceived,
    MessageSettled,
    MessageSynced,
    MessageUnsent,
    ReactionChanged,
    State,
    TypingChanged,
)
from ramson.messenger.archive import message_fields
from ramson.messenger.letters import check_recipient
from ramson.network import NetworkProfile

DRAIN_SECONDS = 60.0  # how long the end waits for what is still being sent


def chat(
    person: Annotated[str, typer.Argument(metavar="ID", help="The account id to talk with.")],
    account: AccountOption,
    *,
    history: Annotated[int, typer.Option("--history", min=0, help="How many earlier messages to show.")] = 20,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Talk with somebody: each line you type is a message; /react, /unsend and /quit are orders."""
    peer = AccountId.parse(person)
    check_recipient(peer)
    profile = resolve_network(network)
    passphrase = read_passphrase(passphrase_file)
    with contextlib.suppress(Interrupted):
        run(_chat(account, passphrase, profile, peer, history, as_json=json))


async def _chat(
    path: Path, passphrase: str, profile: NetworkProfile, peer: AccountId, history: int, *, as_json: bool
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        with progress("Opening the account…"):
            me = await stack.enter_async_context(Client.open(path, passphrase=passphrase, network=profile))
        talk = _Talk(me, peer, as_json=as_json)
        events = me.events()
        for message in me.history(peer, limit=history) if history else ():
            talk.show(message)
        await me.mark_read(peer)
        async with following(me.watch_path(), note):
            listening = asyncio.get_running_loop().create_task(talk.listen(events), name="chat")
            try:
                await talk.read(_lines())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(DRAIN_SECONDS):
                        await me.drain()
            finally:
                events.close()
                await listening


class _Talk:
    def __init__(self, me: Client, peer: AccountId, *, as_json: bool) -> None:
        self._me = me
        self._peer = peer
        self._as_json = as_json

    def show(self, message: Message) -> None:
        """Print a message of the conversation."""
        if self._as_json:
            result_json({"event": "message"} | message_fields(message))
        else:
            result(line(message))

    async def read(self, lines: asyncio.Queue[str | None]) -> None:
        """Do what is typed, until the end."""
        while (typed := await lines.get()) is not None:
            try:
                if not await self._do(typed.rstrip("\r\n")):
                    return
            except LocalError as error:
                self._say(f"{error}. {error.remedy}".strip())

    async def _do(self, typed: str) -> bool:
        order, _, rest = typed.partition(" ")
        if typed.startswith("//") or not typed.startswith("/"):
            if typed.strip():
                await self._me.send(
                    self._peer, typed.removeprefix("/") if typed.startswith("//") else typed, wait=False
                )
            return True
        texts = [each for each in self._me.history(self._peer) if each.kind is Kind.TEXT]
        match order:
            case "/quit":
                return False
            case "/react":
                await self._on_last([each for each in texts if each.incoming]).react(rest.strip())
            case "/unsend":
                await self._on_last([each for each in texts if not each.incoming]).unsend()
            case _:
                raise LocalError("there is no such order", remedy="There are /react EMOJI, /unsend and /quit.")
        return True

    def _on_last(self, messages: list[Message]) -> Message:
        if not messages:
            raise LocalError("there is no message to do that with")
        return messages[-1]

    async def listen(self, events: EventStream) -> None:
        """Print what happens in the conversation."""
        async for event in events:
            await self._tell(event)

    async def _tell(self, event: Event) -> None:
        match event:
            case MessageReceived(message) | MessageSynced(message) if message.conversation == self._peer:
                self.show(message)
                await self._me.mark_read(message)
            case MessageSettled(receipt) if self._as_json:
                result_json({"event": "receipt"} | receipt_fields(receipt))
            case MessageSettled(receipt) if receipt.state is State.FAILED:
                self._say(f"not sent: {receipt.reason}")
            case ReactionChanged() if event.conversation == self._peer:
                word = "took back" if event.removed else "reacted"
                who = "you" if event.reactor == self._me.account_id else "they"
                self._event(
                    "reaction", f"{who} {word} {printable(event.emoji)}", emoji=event.emoji, removed=event.removed
                )
            case MessageUnsent() if event.conversation == self._peer:
                self._event("unsent", "a message was taken back", sent_ms=event.sent_ms)
            case TypingChanged() if event.peer == self._peer:
                self._event("typing", "typing…" if event.typing else "no longer typing", typing=event.typing)
            case _:
                pass

    def _event(self, name: str, text: str, **fields: object) -> None:
        if self._as_json:
            result_json({"event": name} | fields)
        else:
            self._say(text)

    def _say(self, text: str) -> None:
        typer.echo(f"({text})", err=True)


def _lines() -> asyncio.Queue[str | None]:
    """Return what is typed, line by line, and None at its end.

    A thread reads, because a terminal, a pipe and a file cannot all be waited for in the same way; it ends with the
    program.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
            for typed in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, typed)
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, name="typing", daemon=True).start()
    return lines
