"""The facade: one account, open and connected.

    async with Client.open("me.ramson", passphrase="…") as me:
        receipt = await me.send("05…", "hello")
        async for message in me.messages():
            await message.reply("hi")

It owns the account file, a `Network`, and three tasks: the outbox, the inbox, and one that hurries the outbox when
there is a path again.  It decides nothing itself.  Spec: SDK; messaging.md for what its parts do.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from ramson.crypto.account import AccountId
from ramson.errors import LocalError
from ramson.messenger import account, letters
from ramson.messenger.account import DEFAULT_COST
from ramson.messenger.inbox import Inbox
from ramson.messenger.message import Message, Receipt
from ramson.messenger.outbox import Outbox
from ramson.messenger.store import Store
from ramson.messenger.vault import AccountFileError, KeyCost
from ramson.network import MAINNET, Light, Network, NetworkProfile, PathStatus, Trace
from ramson.network.trace import no_trace
from ramson.world import World, real

_log = logging.getLogger(__name__)


class NotOpen(LocalError):
    """A client is used outside `async with`."""


class NotReceiving(LocalError):
    """Messages are asked of a client that was opened only to send."""


class Client:
    """One account, open and connected; an async context manager, good for one `async with`.

    Leaving it without an exception marks the message a `messages` loop had in hand as delivered; leaving it
    with one does not, so that the message is given out again next time.
    """

    def __init__(
        self, path: Path, passphrase: str, profile: NetworkProfile, world: World | None, *, receive: bool, trace: Trace
    ) -> None:
        self._path = path
        self._passphrase = passphrase
        self._profile = profile
        self._world = world
        self._receive = receive
        self._trace = trace
        self._new: Callable[[World], Awaitable[object]] | None = None
        self._parts: _Parts | None = None
        self._exit = AsyncExitStack()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        passphrase: str,
        network: NetworkProfile = MAINNET,
        world: World | None = None,
        receive: bool = True,
        trace: Trace = no_trace,
    ) -> Self:
        """Prepare to open the account file at `path`; entering the client opens it.

        `world` is the real one unless given.  Without `receive` nothing is fetched: enough to send.  `trace` is told
        what the network does (see `ramson.network.trace`).
        Entering raises AccountFileError (WrongPassphrase, AccountFileMissing, …).
        """
        return cls(Path(path), passphrase, network, world, receive=receive, trace=trace)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        passphrase: str,
        network: NetworkProfile = MAINNET,
        world: World | None = None,
        name: str = "",
        phrase: str | None = None,
        cost: KeyCost = DEFAULT_COST,
        receive: bool = True,
        trace: Trace = no_trace,
    ) -> Self:
        """Prepare to make the file of a new account at `path` and open it; entering the client does both.

        With `phrase` it is the account of that recovery phrase.  `name` is the display name that messages carry, `cost`
        what a guess of the passphrase costs.  Entering raises AccountFileError, PhraseError, BadName.
        """
        client = cls(Path(path), passphrase, network, world, receive=receive, trace=trace)
        client._new = partial(_create, client._path, passphrase, name=name, phrase=phrase, cost=cost)
        return client

    # Life.

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            world = self._world or real.world()
            if self._world is None:
                stack.push_async_callback(world.net.close)
            if self._new is not None:
                await self._new(world)
            store = await account.unlock(self._path, self._passphrase, world=world)
            self._passphrase = ""
            stack.callback(store.close)
            stack.push_async_callback(asyncio.sleep, 0)  # what the network saved last is written by the loop
            network = await stack.enter_async_context(
                Network(world, self._profile, _StoreCache(store, self._profile), trace=self._trace)
            )
            outbox = Outbox(store, network, world.entropy)
            inbox = Inbox(store, network, partial(letters.read, keys=store.keys), network.now)
            tasks = await stack.enter_async_context(_Tasks())
            tasks.start(outbox.run(), "outbox")
            tasks.start(_hurry(network, outbox), "path watch")
            if self._receive:
                tasks.start(inbox.run(), "inbox")
            self._parts = _Parts(store, network, outbox, inbox, world)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        parts, self._parts = self._open_parts(), None
        if error is None:
            parts.inbox.release()
        await self._exit.__aexit__(kind, error, traceback)

    def _open_parts(self) -> _Parts:
        if self._parts is None:
            raise NotOpen("this client is not open", remedy="Use it inside `async with`.")
        return self._parts

    # The account.

    @property
    def account_id(self) -> AccountId:
        """The id others write to."""
        return self._open_parts().store.keys.id

    @property
    def name(self) -> str:
        """The display name that messages carry; may be empty."""
        return self._open_parts().store.name

    @property
    def phrase(self) -> str:
        """The recovery phrase.  Whoever knows it is this account: show it to its owner and to nobody else."""
        return account.phrase_of_keys(self._open_parts().store.keys)

    # The network.

    @property
    def path(self) -> PathStatus:
        """The path light: colour, reason, and the nodes messages travel by."""
        return self._open_parts().network.status

    def watch_path(self) -> AsyncIterator[PathStatus]:
        """Iterate over the present path status and all that follow."""
        return self._open_parts().network.watch()

    # Messages.

    async def send(self, to: AccountId | str, text: str, *, wait: bool = True) -> Receipt:
        """Send a text and return its receipt once it is stored in the recipient's swarm, or has failed for good.

        The message is in the account file before anything else happens: it goes out even if the program is killed, as
        soon as the account is open and there is a network.  So waiting may be cut short at any time, as by
        `asyncio.timeout`; without `wait` the receipt comes at once and says `sending`.

        Raises BadText, BadRecipient, AccountIdError, AccountFileError.
        """
        parts = self._open_parts()
        recipient = AccountId.parse(to) if isinstance(to, str) else to
        letters.check_recipient(recipient)
        letters.check_text(text)
        keys, name = parts.store.keys, parts.store.name

        def write(sent_ms: int) -> letters.Outgoing:
            return letters.write(text, keys, name, recipient, sent_ms, parts.world.entropy)

        receipt = parts.store.receipt(parts.store.queue(recipient, text, parts.network.now(), write))
        parts.outbox.wake()
        return await self.settled(receipt) if wait else receipt

    async def settled(self, receipt: Receipt) -> Receipt:
        """Wait until the message of a receipt is stored or has failed for good, and return the new receipt."""
        return await self._open_parts().outbox.settled(receipt.id)

    async def drain(self) -> None:
        """Wait until nothing is left in the outbox, copies for our other devices included."""
        await self._open_parts().outbox.drained()

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Yield what others write, from what came while nobody listened on; by sent time, each message once.

        A message counts as delivered when the loop asks for the next one, or when the client is left without an
        exception.  Several loops at once share the messages.
        """
        parts = self._open_parts()
        if not self._receive:
            raise NotReceiving("this client does not receive", remedy="Open it without receive=False.")
        async for message in parts.inbox.messages():
            yield self._answerable(message)

    def history(self, peer: AccountId | str, *, limit: int = 50) -> list[Message]:
        """Return the newest `limit` messages of the conversation with `peer`, oldest first."""
        found = self._open_parts().store.history(AccountId.parse(peer) if isinstance(peer, str) else peer, limit)
        return [self._answerable(message) for message in found]

    def _answerable(self, message: Message) -> Message:
        return replace(message, _reply=partial(self.send, message.conversation))


@dataclass(frozen=True, slots=True)
class _Parts:
    store: Store
    network: Network
    outbox: Outbox
    inbox: Inbox
    world: World


class _StoreCache:
    """The network's memory, kept in the account file.

    The network saves on a thread of its disk, and the file belongs to the event loop: the loop does the writing.
    """

    def __init__(self, store: Store, profile: NetworkProfile) -> None:
        self._store = store
        self._key = f"network {profile.fingerprint}"
        self._loaded = store.load(self._key)
        self._loop = asyncio.get_running_loop()

    def load(self) -> bytes | None:
        return self._loaded

    def save(self, data: bytes) -> None:
        self._loop.call_soon_threadsafe(self._write, data)

    def _write(self, data: bytes) -> None:
        try:
            self._store.save(self._key, data)
        except AccountFileError as error:
            _log.warning("the node list could not be saved: %s", error)


class _Tasks:
    """A task group that ends when it is left, and that raises what went wrong in it by itself, not in a group."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._started: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[None, None, None], name: str) -> None:
        self._started.append(self._group.create_task(work, name=name))

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._started:
            task.cancel()
        # A cancellation may come from the group, because a task failed; any other error is the caller's own.
        cancelled = isinstance(error, asyncio.CancelledError)
        try:
            await self._group.__aexit__(*(kind, error, traceback) if cancelled else (None, None, None))
        except BaseExceptionGroup as group:
            first: BaseException = group
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from group


async def _create(path: Path, passphrase: str, world: World, *, name: str, phrase: str | None, cost: KeyCost) -> None:
    await account.create(path, passphrase, world=world, name=name, phrase=phrase, cost=cost)


async def _hurry(network: Network, outbox: Outbox) -> None:
    async for status in network.watch():
        if status.light is not Light.RED:
            outbox.hurry()
