"""`ramson chat`: one conversation, line by line: what was said, what comes, and what one types.

At a terminal the line that is being typed stays below what comes, and below it stands whether the other side types,
what became of one's last message, and how the way through the network is.  A line is a message.  Lines that begin with
a slash are orders:

    /react 👍     put an emoji to the last message of the other side
    /unsend      take back the last message of one's own
    /quote TEXT  answer the last message of the other side
    /file PATH   send a file
    /save [DIR]  save the files of the last message that has some
    /screenshot  tell the other side that you took a picture of the conversation
    /disappear 3600   let what you write from now on disappear after so many seconds; 0: no longer
    /quit        end; so does the end of the input
    //text       send a text that begins with one slash
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ramson.cli.composing import Composer, at_a_terminal, standard_input
from ramson.cli.files import save_all
from ramson.cli.harmless import printable
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
from ramson.cli.terminal import following, note, progress, result_json, run_until_stopped
from ramson.cli.way_out import reach_settings
from ramson.crypto.account import AccountId
from ramson.errors import LocalError, RamsonError
from ramson.messenger import (
    CatchUp,
    Client,
    Event,
    EventStream,
    Kind,
    Message,
    MessageReceived,
    MessageSettled,
    MessagesRead,
    MessageSynced,
    MessageUnsent,
    MessageUploading,
    ReactionChanged,
    Receipt,
    State,
    SubscriptionChanged,
    TypingChanged,
)
from ramson.messenger.letters import check_recipient
from ramson.network import Light, NetworkProfile
from ramson.protocol.content import NEVER, Expiration, ExpirationMode

ORDERS = "/react EMOJI, /unsend, /quote TEXT, /file PATH, /save [DIR], /screenshot, /disappear SECONDS, /quit"
HELP = """a line is a message; orders:
/react 👍     put an emoji to the last message of the other side
/quote TEXT  answer the last message of the other side
/unsend      take back the last message of your own
/file PATH   send a file
/save [DIR]  save the files of the last message that has some
/screenshot  tell the other side that you took a picture of the conversation
/disappear N what you write from now on disappears after N seconds; 0: no longer
//text       send a text that begins with one slash
/quit        end; so does Ctrl-D"""
SOON_SECONDS = 1.0  # before it is told that the end waits
DRAIN_SECONDS = 60.0  # how long the end waits for what is still being sent
TELL_SECONDS = 5.0  # how long it then waits until the other devices are told what was changed
TYPING_SECONDS = 10.0  # how often it is repeated that somebody types


def chat(
    person: Annotated[
        str, typer.Argument(metavar="ID", help="The account id to talk with, or the nickname that you gave it.")
    ],
    account: AccountOption,
    *,
    history: Annotated[int, typer.Option("--history", min=0, help="How many earlier messages to show.")] = 20,
    subscribe: SubscribeOption = False,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Talk with somebody: each line you type is a message; /help shows the orders."""
    typed = read_person(person)
    if isinstance(typed, AccountId):
        check_recipient(typed)
    profile = resolve_network(network)
    passphrase = account_passphrase(account, passphrase_file)
    run_until_stopped(_chat(account, passphrase, profile, typed, history, subscribe=subscribe, as_json=json))


async def _chat(
    path: Path,
    passphrase: str,
    profile: NetworkProfile,
    typed: Typed,
    history: int,
    *,
    subscribe: bool,
    as_json: bool,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        with progress("Opening the account…"):
            me = await stack.enter_async_context(
                Client.open(path, passphrase=passphrase, network=profile, subscribe=subscribe, reach=reach_settings())
            )
        if me.restoring:  # without, a text might stay that was to disappear
            with progress("Asking what your other devices know…") as show:
                await know_first(me, show)
        peer = names_of(me).meant(typed)
        talk = _Talk(me, peer, as_json=as_json)
        events = me.events()
        for message in me.history(peer, limit=history) if history else ():
            talk.show(message)
        await me.mark_read(peer)
        lines = standard_input()
        if not as_json and at_a_terminal():
            composer = Composer(talk.status, talk.composing)
            talk.changed = composer.refresh
            lines = composer.lines()
        async with following(me.watch_path(), talk.way):
            stack.enter_context(me.watching())
            loop = asyncio.get_running_loop()
            listening = loop.create_task(talk.listen(events), name="chat")
            typing = loop.create_task(talk.tell_typing(), name="typing")
            try:
                await talk.read(lines)
                await talk.finish()
            finally:
                typing.cancel()
                events.close()
                await asyncio.gather(typing, return_exceptions=True)
                await listening


class _Talk:
    def __init__(self, me: Client, peer: AccountId, *, as_json: bool) -> None:
        self._me = me
        self._peer = peer
        self._as_json = as_json
        self._way = ""
        self._they_type = False
        self._last: Receipt | None = None  # of what we sent last
        self._read = False  # whether they have read it
        self._new = never_written_to(me, peer)
        self._writing = asyncio.Event()
        self.changed: Callable[[], None] | None = None  # to be told that there is another status

    def status(self) -> str:
        """Return what stands below the line that is typed."""
        words = ["typing…"] if self._they_type else []
        if self._last is not None:
            words.append("read" if self._last.state is State.SENT and self._read else self._last.summary)
        return "  ·  ".join([*words, self._way or "looking for a way…", "/help"])

    def way(self, reason: str) -> None:
        """Note how the way through the network is."""
        self._way = reason
        if self.changed is None:
            note(reason)
        else:
            self.changed()

    def composing(self, anything: bool) -> None:
        """Note whether something is being typed."""
        if anything:
            self._writing.set()
        else:
            self._writing.clear()

    async def tell_typing(self) -> None:
        """Tell the other side while something is being typed, if the setting says so."""
        while True:
            await self._writing.wait()
            told = await self._me.typing(self._peer)
            await asyncio.sleep(TYPING_SECONDS)
            if told and not self._writing.is_set():
                await self._me.typing(self._peer, started=False)

    async def finish(self) -> None:
        """Send what is left, and tell the other devices what was changed, each for a while."""
        if not await _within(SOON_SECONDS, self._me.drain()):
            note("Sending what is left. Ctrl-C leaves it for the next time.")
            if not await _within(DRAIN_SECONDS, self._me.drain()):
                self._say("what is not sent stays in the outbox and goes out the next time")
        if self._me.untold and self._me.path.light is not Light.RED:  # as of a timer that was set
            note("Telling your other devices…")
            await _within(TELL_SECONDS, self._me.synced())

    def _sent(self, receipt: Receipt) -> None:
        self._last, self._read = receipt, False
        self._refresh()
        if self._new and not self._as_json:
            self._say(first_message(names_of(self._me), self._peer))
        self._new = False

    def _refresh(self) -> None:
        if self.changed is not None:
            self.changed()

    def show(self, message: Message) -> None:
        """Print a message of the conversation."""
        self._new = self._new and not message.incoming
        show_message(message, names_of(self._me), as_json=self._as_json)

    async def read(self, lines: AsyncGenerator[str, None]) -> None:
        """Do what is typed, until the end."""
        async with contextlib.aclosing(lines):
            async for typed in lines:
                try:
                    if not await self._do(typed):
                        return
                except RamsonError as error:
                    self._say(f"{error}. {error.remedy}".strip())

    async def _do(self, typed: str) -> bool:
        order, _, rest = typed.partition(" ")
        if typed.startswith("//") or not typed.startswith("/"):
            if typed.strip():
                text = typed.removeprefix("/") if typed.startswith("//") else typed
                self._sent(await self._me.send(self._peer, text, wait=False))
            return True
        texts = [each for each in self._me.history(self._peer) if each.kind is Kind.TEXT]
        match order:
            case "/quit":
                return False
            case "/react":
                await self._on_last([each for each in texts if each.incoming]).react(rest.strip())
            case "/unsend":
                await self._on_last([each for each in texts if not each.incoming], "of your own").unsend()
            case "/quote":
                quoted = self._on_last([each for each in texts if each.incoming])
                self._sent(await self._me.send(self._peer, rest, wait=False, quote=quoted))
            case "/file":
                self._sent(await self._me.send(self._peer, wait=False, attachments=[_path(rest)]))
            case "/save":
                message = self._on_last([each for each in texts if each.incoming and each.attachments], "with files")
                for path in await save_all(message, _path(rest or "."), note):
                    self._event("saved", f"saved as {path}", file=str(path))
            case "/screenshot":
                await self._me.tell_screenshot(self._peer)
                self._event("told", "the other side is told", what="screenshot")
            case "/disappear" if rest.strip().isdecimal():
                seconds = int(rest)
                setting = Expiration(ExpirationMode.AFTER_SEND, seconds) if seconds else NEVER
                await self._me.set_disappearing(self._peer, setting)
                after = f"disappears {seconds} s after it was sent" if seconds else "no longer disappears"
                self._event("disappearing", f"what you write from now on {after}", seconds=seconds)
            case "/disappear":
                raise LocalError("/disappear takes a number of seconds", remedy="0 is for never.")
            case "/help":
                self._say(HELP)
            case _:
                raise LocalError("there is no such order", remedy=f"There are {ORDERS}.")
        return True

    def _on_last(self, messages: list[Message], of: str = "of the other side") -> Message:
        if not messages:
            raise LocalError(f"there is no message {of} yet to do that with")
        return messages[-1]

    async def listen(self, events: EventStream) -> None:
        """Print what happens in the conversation."""
        async for event in events:
            await self._tell(event)

    async def _tell(self, event: Event) -> None:
        match event:
            case MessageReceived(message) | MessageSynced(message) if message.conversation == self._peer:
                self._they_type = self._they_type and not message.incoming
                self.show(message)
                await self._me.mark_read(message)
            case MessageSettled(receipt) if self._as_json:
                result_json({"event": "receipt"} | receipt_fields(receipt))
            case MessageSettled(receipt) if receipt.state is State.FAILED:
                self._update(receipt)
                self._say(f"not sent: {printable(receipt.reason)}")
            case MessageSettled(receipt):
                self._update(receipt)
            case MessagesRead() if event.peer == self._peer and self._last is not None:
                self._read = self._read or self._last.sent_ms in event.sent_ms
                self._refresh()
            case MessageUploading(receipt) if receipt.to_upload:
                if self._as_json:
                    result_json({"event": "uploading"} | receipt_fields(receipt))
                elif self.changed is None:
                    note(receipt.summary)
                else:
                    self._update(receipt)
            case CatchUp() | SubscriptionChanged():
                show_event(event, partial(names_of, self._me), as_json=self._as_json)
            case ReactionChanged() if event.conversation == self._peer:
                word = "took back" if event.removed else "reacted"
                who = "you" if event.reactor == self._me.account_id else "they"
                self._event(
                    "reaction", f"{who} {word} {printable(event.emoji)}", emoji=event.emoji, removed=event.removed
                )
            case MessageUnsent() if event.conversation == self._peer:
                self._event("unsent", "a message was taken back", sent_ms=event.sent_ms)
            case TypingChanged() if event.peer == self._peer and self.changed is not None:
                self._they_type = event.typing
                self.changed()
            case TypingChanged() if event.peer == self._peer:
                self._event("typing", "typing…" if event.typing else "no longer typing", typing=event.typing)
            case _:
                pass

    def _update(self, receipt: Receipt) -> None:
        if self._last is not None and receipt.id == self._last.id:
            self._last = receipt
            self._refresh()

    def _event(self, name: str, text: str, **fields: object) -> None:
        if self._as_json:
            result_json({"event": name} | fields)
        else:
            self._say(text)

    def _say(self, text: str) -> None:
        sys.stderr.write(f"({printable(text)})\n")


async def _within(seconds: float, work: Awaitable[None]) -> bool:
    """Return whether something was done in time."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    return True


def _path(typed: str) -> Path:
    return Path(typed.strip()).expanduser()
