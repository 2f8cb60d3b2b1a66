"""The facade: one account, open and connected.

    async with Client.open("me.ramson", passphrase="…") as me:
        receipt = await me.send("05…", "hello")
        async for message in me.messages():
            await message.reply("hi")

It owns the account file, a `Network`, and the tasks of an `Engine`.  It decides nothing itself.
Spec: SDK; messaging.md for what its parts do.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from ramson.crypto.account import AccountId
from ramson.errors import LocalError, RemoteError
from ramson.messenger import account, archive, vault
from ramson.messenger.account import DEFAULT_COST
from ramson.messenger.actions import Draft
from ramson.messenger.archive import ARCHIVE_COST
from ramson.messenger.deletion import Deletion, delete_swarm
from ramson.messenger.engine import Engine
from ramson.messenger.events import EventStream
from ramson.messenger.intake import READ_RECEIPTS, TYPING
from ramson.messenger.message import Attachable, Conversation, Message, Receipt
from ramson.messenger.opening import Parts, check_straight, connected
from ramson.messenger.pictures import Contact
from ramson.messenger.vault import KeyCost
from ramson.network import MAINNET, NetworkProfile, PathStatus, Trace
from ramson.network.trace import no_trace
from ramson.protocol.config import Picture
from ramson.protocol.content import (
    NEVER,
    CommunityInvitation,
    Expiration,
    Extraction,
    LinkPreview,
    Profile,
    Quote,
)
from ramson.protocol.nodes import NodeRecord
from ramson.reach import NO_WISHES, ReachSettings
from ramson.world import World, real

Person = AccountId | str


class NotOpen(LocalError):
    """A client is used outside `async with`."""


class NotReceiving(LocalError):
    """Messages are asked of a client that was opened only to send."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What others learn of us while we read and write.  Both are off unless turned on, and reciprocal."""

    read_receipts: bool = False
    typing: bool = False


class Client:
    """One account, open and connected; an async context manager, good for one `async with`.

    Leaving it without an exception marks the message a `messages` loop had in hand as delivered; leaving it
    with one does not, so that the message is given out again next time.

    What changes something is in the account file when the call returns, and reaches others as soon as there is a
    network.  People are given by account id, as a value or as text; AccountIdError is raised for what is none.
    """

    def __init__(
        self,
        path: Path,
        passphrase: str,
        profile: NetworkProfile,
        world: World | None,
        *,
        receive: bool,
        trace: Trace,
        connect: bool = True,
        reach: ReachSettings = NO_WISHES,
        share: bool = False,
        subscribe: bool = False,
    ) -> None:
        self._path = path
        self._passphrase = passphrase
        self._profile = profile
        self._world = world
        self._receive = receive and connect
        self._share = share
        self._connect = connect
        self._subscribe = subscribe
        self._reach = reach
        self._trace = trace
        self._new: Callable[..., Awaitable[object]] | None = None
        self._parts: Parts | None = None
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
        connect: bool = True,
        share: bool = False,
        subscribe: bool = False,
        reach: ReachSettings = NO_WISHES,
        trace: Trace = no_trace,
    ) -> Self:
        """Prepare to open the account file at `path`; entering the client opens it.

        `world` is the real one unless given.  Without `receive` nothing is fetched: enough to send; without `connect`
        the network is not used at all: enough to look; what is written goes out the next time.  Only one client of a
        file receives at a time; `share` is for a short visit beside one that does, which may then miss events, but
        no message.  `reach` says how to get out where the network is blocked; `trace` is told what the network does
        (see `ramson.network.trace`).

        With `subscribe` messages come at once, because two of the nodes that keep them tell us, over connections that
        go straight to them: each learns this device's address together with the account id, which polling hides from
        all.  Without it every few seconds is asked through paths.  It needs the extra `ramson[node]`.
        Entering raises AccountFileError (WrongPassphrase, AccountFileMissing, AccountInUse, …); SubscriptionRefused
        for `subscribe` where `reach` names a proxy, a bridge or a route other than the straight one.
        """
        return cls(
            Path(path),
            passphrase,
            network,
            world,
            receive=receive,
            trace=trace,
            connect=connect,
            share=share,
            subscribe=subscribe,
            reach=reach,
        )

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
        subscribe: bool = False,
        reach: ReachSettings = NO_WISHES,
        trace: Trace = no_trace,
    ) -> Self:
        """Prepare to make the file of a new account at `path` and open it; entering the client does both.

        With `phrase` it is the account of that recovery phrase: its profile, contacts and read states come back from
        its swarm (`synced` waits for that).  `name` is the display name that messages carry, of a restored account only
        if it has none; `cost` is what a guess of the passphrase costs.  About `subscribe` see `open`.
        Entering raises AccountFileError, PhraseError, BadName, SubscriptionRefused.
        """
        client = cls(
            Path(path), passphrase, network, world, receive=receive, subscribe=subscribe, trace=trace, reach=reach
        )
        client._new = partial(account.create, client._path, passphrase, name=name, phrase=phrase, cost=cost)
        return client

    # Life.

    async def __aenter__(self) -> Self:
        if self._subscribe and self._receive:
            check_straight(self._reach, self._profile)
        async with AsyncExitStack() as stack:
            world = self._world or real.world()
            if self._world is None:
                stack.push_async_callback(world.net.close)
            if self._new is not None:
                await self._new(world=world)
            store = await account.unlock(self._path, self._passphrase, world=world)
            self._passphrase = ""
            stack.callback(store.close)
            if self._receive and not self._share:
                stack.enter_context(vault.Hold(self._path))
            self._parts = await connected(
                stack,
                world,
                store,
                self._path,
                self._profile,
                answers=self,
                receive=self._receive,
                connect=self._connect,
                subscribe=self._subscribe,
                reach=self._reach,
                trace=self._trace,
            )
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        parts, self._parts = self._open_parts(), None
        if error is None and not parts.deleted:
            parts.engine.inbox.release()
        await self._exit.__aexit__(kind, error, traceback)

    def _open_parts(self) -> Parts:
        if self._parts is None:
            raise NotOpen("this client is not open", remedy="Use it inside `async with`.")
        return self._parts

    @property
    def _engine(self) -> Engine:
        return self._open_parts().engine

    # The account.

    @property
    def account_id(self) -> AccountId:
        """The id others write to."""
        return self._engine.store.keys.id

    @property
    def name(self) -> str:
        """The display name that messages carry; may be empty."""
        return self._engine.store.name

    @property
    def profile(self) -> Profile:
        """What messages say about us: name, picture, and when they were changed."""
        return self._engine.actions.own_profile() or Profile()

    @property
    def phrase(self) -> str:
        """The recovery phrase.  Whoever knows it is this account: show it to its owner and to nobody else."""
        return account.phrase_of_keys(self._engine.store.keys)

    async def set_profile(
        self, name: str | None = None, *, picture: Picture | None = None, drop_picture: bool = False
    ) -> None:
        """Change the display name (up to 100 bytes), the picture, or both, on all devices; None leaves it.

        Others learn of it with our next messages.  Raises BadName.
        """
        keep = picture is None and not drop_picture
        self._engine.actions.set_profile(name, picture, keep_picture=keep)

    async def set_avatar(self, picture: str | os.PathLike[str] | bytes | None) -> None:
        """Upload a profile picture, a path or its bytes, and show it on all devices; None takes it away.

        What the file tells beside the picture is removed, as from attachments, and what is larger than 600 pixels made
        smaller, which needs the extra `ramson[pictures]`.  Others learn of it with our next
        messages.  Raises NoPicture, BadPicture, BadAttachment, NoFileServer, FileError, RequestFailed, NoPath.
        """
        engine = self._engine
        if picture is None:
            await self.set_profile(drop_picture=True)
            return
        ready = await engine.attachments.own_picture(picture if isinstance(picture, bytes) else Path(picture))
        await self.set_profile(picture=await engine.pictures.publish(ready))

    @property
    def avatar(self) -> bytes | None:
        """Our profile picture; None if there is none, or it was set on another device and not fetched yet."""
        engine = self._engine
        return engine.pictures.bytes_of(engine.store.configs.profile.picture)

    @property
    def settings(self) -> Settings:
        """What others learn of us."""
        store = self._engine.store
        return Settings(read_receipts=store.setting(READ_RECEIPTS), typing=store.setting(TYPING))

    def set_settings(self, settings: Settings) -> None:
        """Change what others learn of us; on this device."""
        self._engine.store.set_setting(READ_RECEIPTS, on=settings.read_receipts)
        self._engine.store.set_setting(TYPING, on=settings.typing)

    async def export_archive(self, passphrase: str, *, cost: KeyCost = ARCHIVE_COST) -> bytes:
        """Return everything of the account, sealed with a passphrase of its own; see `ramson.messenger.archive`.

        Whoever opens it is this account.  A guess costs more than one at the account file.  Raises WeakPassphrase.
        """
        parts = self._open_parts()
        return await account.seal_archive(parts.engine.store, passphrase, world=parts.world, cost=cost)

    async def import_archive(self, data: bytes, passphrase: str) -> int:
        """Add the messages of an archive of this account; return how many were new.

        Raises BadArchive, OtherAccount.
        """
        engine = self._engine
        document = await account.open_archive(data, passphrase, world=self._open_parts().world)
        new = archive.merge(engine.store, document)
        engine.sync.changed()
        engine.upkeep.changed()
        return new

    def export_json(self) -> str:
        """Return all conversations as plain JSON.  Not encrypted: whoever has it can read it."""
        return archive.as_json(self._engine.store)

    def export_html(self) -> str:
        """Return all conversations as one HTML page.  Not encrypted: whoever has it can read it."""
        return archive.as_html(self._engine.store)

    async def synced(self) -> None:
        """Wait until this device has what the swarm has, and the swarm what it has; `asyncio.timeout` bounds it.

        After a restore: until the profile, the contacts and the read states are back.  Raises NotReceiving.
        """
        self._check_receiving()
        await self._engine.sync.settled()

    @property
    def restoring(self) -> bool:
        """Whether the account was restored from its phrase and what its other devices know was not fetched yet.

        What is sent until then goes without the name, and without the timer that the conversation may have.
        """
        return self._engine.store.restoring

    @property
    def untold(self) -> bool:
        """Whether something was changed here that the swarm, and so our other devices, do not have yet."""
        return self._engine.store.configs.needs_push

    async def get_in_step(self) -> None:
        """Do what `synced` waits for, also without `receive`: then it fetches no messages.  For who only visits.

        It tries until it works; `asyncio.timeout` bounds it.  Raises NotReceiving without `connect`.
        """
        if not self._connect:
            raise NotReceiving("this client uses no network", remedy="Open it without connect=False.")
        if self._receive:
            await self.synced()
        else:
            await self._engine.get_in_step()

    async def delete_account(self, *, everywhere: bool, progress: Callable[[Deletion], None] | None = None) -> Deletion:
        """Delete the account file; with `everywhere` first all that our swarm keeps, as each of its nodes confirms.

        The client can do nothing after it.  What others have of us stays with them, and our other devices keep theirs
        and put the configs back: delete on the last device.  The file stays if a node did not
        confirm: see the result.  `progress` is told who has and who has not yet; a node that is silent takes 5 to 20 s.
        Raises RemoteError if no node could be asked.
        """
        parts = self._open_parts()
        await parts.tasks.stop()
        deletion = Deletion()
        if everywhere:
            deletion = await delete_swarm(parts.network, parts.engine.store.keys, progress or _untold)
            if not deletion.complete:
                return deletion
        parts.deleted = True
        parts.engine.store.close()
        vault.destroy(self._path)
        return deletion

    # The network.

    @property
    def path(self) -> PathStatus:
        """The path light: colour, reason, and the nodes messages travel by."""
        return self._open_parts().network.status

    def watch_path(self) -> AsyncIterator[PathStatus]:
        """Iterate over the present path status and all that follow."""
        return self._open_parts().network.watch()

    @property
    def told_by(self) -> tuple[NodeRecord, ...]:
        """The nodes that tell us of messages at once, each of which knows our address; none without `subscribe`.

        Without any, news is asked for every few seconds.  SubscriptionChanged events tell when that changes.
        """
        subscriptions = self._open_parts().subscriptions
        return () if subscriptions is None else subscriptions.live

    # Writing.

    async def send(
        self,
        to: Person,
        text: str = "",
        *,
        wait: bool = True,
        quote: Message | Quote | None = None,
        attachments: Sequence[Attachable] = (),
        previews: Sequence[LinkPreview] = (),
        invitation: CommunityInvitation | None = None,
    ) -> Receipt:
        """Send a text and return its receipt once it is stored in the recipient's swarm, or has failed for good.

        The message is in the account file before anything else happens: it goes out even if the program is killed, as
        soon as the account is open and there is a network.  So waiting may be cut short at any time, as by
        `asyncio.timeout`; without `wait` the receipt comes at once and says `sending`.

        `quote` is a message this one answers to.  `attachments` (at most 32, of 10 MB each) are paths, `FileToSend`s,
        or attachments to be forwarded; with some the text may be empty.  Files are in the account file, encrypted,
        before they are uploaded and the message goes out.  Of `previews` there is at most one, of an https link in the
        text: nothing is fetched for it, what is shown is what you say.

        Writing to somebody approves them: a request of theirs is accepted by it.
        Raises BadText, BadRecipient, Blocked, AccountIdError, AccountFileError; for files BadAttachment, BadPicture,
        FileTooLarge, NoFileServer.
        """
        engine, person = self._engine, _id(to)
        if isinstance(quote, Message):
            quote = Quote(quote.sent_ms, quote.sender.hex)
        draft = Draft(text, quote, previews=tuple(previews), invitation=invitation)
        engine.actions.check(person, draft, attachments=len(attachments))
        staged = await engine.attachments.stage(attachments)
        try:
            number = engine.actions.send(person, replace(draft, attachments=staged.pointers, files=staged.waiting))
        except BaseException:
            engine.attachments.unstage(staged)
            raise
        receipt = engine.store.receipt(number)
        return await self.settled(receipt) if wait else receipt

    async def reply(
        self, message: Message, text: str = "", *, quote: bool = False, attachments: Sequence[Attachable] = ()
    ) -> Receipt:
        """Send to the conversation of a message, as `send` does; with `quote` it refers to the message."""
        return await self.send(message.conversation, text, quote=message if quote else None, attachments=attachments)

    async def resend(self, message: Message, *, wait: bool = True) -> Receipt:
        """Send a text again that has failed.  Raises NoSuchMessage."""
        self._engine.actions.resend(message)
        self._engine.uploads.wake()
        self._engine.outbox.wake()
        receipt = self._engine.store.receipt(message.id)
        return await self.settled(receipt) if wait else receipt

    async def settled(self, receipt: Receipt) -> Receipt:
        """Wait until the message of a receipt is stored or has failed for good, and return the new receipt."""
        return await self._engine.outbox.settled(receipt.id)

    async def drain(self) -> None:
        """Wait until nothing is left in the outbox, copies for our other devices included."""
        await self._engine.outbox.drained()

    async def react(self, message: Message, emoji: str) -> None:
        """React to a message with an emoji.  Raises BadReaction, TooManyReactions, NotApproved, NoSuchMessage."""
        self._engine.actions.react(message, emoji)

    async def unreact(self, message: Message, emoji: str) -> None:
        """Withdraw a reaction of ours."""
        self._engine.actions.react(message, emoji, removed=True)

    async def unsend(self, message: Message) -> None:
        """Take back a message of ours, from both sides' devices and our swarm.

        Programs of others may have shown or kept it.  Raises NotYours, NoSuchMessage.
        """
        self._engine.actions.unsend(message)

    async def delete(self, message: Message) -> None:
        """Delete a message from this device and our swarm; other devices that have it keep it."""
        self._engine.actions.delete(message)

    async def mark_read(self, conversation: Person | Message) -> None:
        """Mark a conversation read, or only up to a message, on all devices.

        What disappears after reading begins to; if read receipts are on, the other side is told.
        """
        if isinstance(conversation, Message):
            self._engine.actions.mark_read(conversation.conversation, conversation.sent_ms)
        else:
            self._engine.actions.mark_read(_id(conversation))

    async def mark_unread(self, conversation: Person) -> None:
        """Mark a conversation unread by hand, on all devices."""
        self._engine.actions.mark_unread(_id(conversation))

    async def typing(self, to: Person, *, started: bool = True) -> bool:
        """Tell somebody that we began or stopped to type; return whether that was done.

        Nothing is told unless the setting is on and both sides have approved each other.  To be repeated every 10 s,
        and ended 10 s after the last letter.
        """
        parts = self._open_parts()
        outgoing = parts.engine.actions.typing(_id(to), started=started)
        if outgoing is None:
            return False
        (letter,) = outgoing.sealed
        try:
            await parts.network.store(letter.recipient, letter.data, ttl_ms=letter.ttl_ms)
        except RemoteError:
            return False  # nobody waits for it
        return True

    async def tell_screenshot(self, to: Person) -> None:
        """Tell somebody that a picture of the conversation with them was taken.  Raises NotApproved."""
        self._engine.actions.tell_extraction(_id(to), Extraction.SCREENSHOT)

    async def tell_saved(self, message: Message) -> None:
        """Tell the sender of a message that a file of it was saved.  Raises NotApproved."""
        self._engine.actions.tell_extraction(message.conversation, Extraction.MEDIA_SAVED, message.sent_ms)

    async def set_disappearing(self, conversation: Person, expiration: Expiration = NEVER) -> None:
        """Let what we write there disappear from now on, and say so there.

        `Expiration(ExpirationMode.AFTER_READ | AFTER_SEND, timer_s)`, 10 s to 14 days; others offer 5 min, 1 h, 12 h,
        1 d, 1 w, 2 w.  NEVER turns it off.  To follow the other side, take the `expiration` of its TIMER notice.
        Raises BadTimer, Blocked.
        """
        self._engine.actions.set_disappearing(_id(conversation), expiration)

    # People.

    def contacts(self) -> list[Contact]:
        """Return everyone we have approved or blocked, by id."""
        engine = self._engine
        return [engine.pictures.known(each) for each in engine.store.configs.contacts if each.approved or each.blocked]

    def people(self) -> list[Contact]:
        """Return everyone we know, also who only made a request, by id."""
        engine = self._engine
        return [engine.pictures.known(each) for each in engine.store.configs.contacts]

    def contact(self, person: Person) -> Contact | None:
        """Return what we know about somebody, or None."""
        found = self._engine.store.configs.contact(_id(person))
        return None if found is None else self._engine.pictures.known(found)

    def requests(self) -> list[Conversation]:
        """Return conversations with people who wrote to us and were neither accepted nor blocked, the latest first."""
        return self._list(requests=True)

    async def accept(self, person: Person) -> None:
        """Accept a message request; its sender is told.  Raises Blocked."""
        self._engine.actions.accept(_id(person))

    async def decline(self, person: Person) -> None:
        """Delete a request, or any contact, with all messages, on all devices and in our swarm.

        Its sender is not told, and may write again.
        """
        self._engine.actions.decline(_id(person))

    async def block(self, person: Person, *, blocked: bool = True) -> None:
        """Drop whatever somebody sends from now on; with `blocked=False` no longer.  On all devices."""
        self._engine.actions.block(_id(person), blocked=blocked)

    async def set_nickname(self, person: Person, nickname: str) -> None:
        """Call somebody by another name (up to 100 bytes), on our devices only; an empty one undoes it."""
        self._engine.actions.change_contact(_id(person), lambda contact: replace(contact, nickname=nickname))

    async def set_priority(self, person: Person, priority: int) -> None:
        """Pin a conversation (1 and more), let it be as others (0), or hide it until somebody writes (-1)."""
        self._engine.actions.set_priority(_id(person), priority)

    # Reading.

    async def messages(
        self, *, passing_over: Callable[[], Collection[AccountId]] = tuple
    ) -> AsyncGenerator[Message, None]:
        """Yield texts that others write, from what came while nobody listened on; by sent time, each once.

        A message counts as delivered when the loop asks for the next one, or when the client is left without an
        exception.  Several loops at once share the messages.  `passing_over` is asked each time which conversations are
        to be left for later, at most some hundreds; what it says is heeded within 5 s.
        """
        self._check_receiving()
        async for message in self._engine.inbox.messages(passing_over):
            yield self._engine.shown(message)

    def events(self) -> EventStream:
        """Return all that happens from now on as typed events, for `async for`; see `ramson.messenger.events`.

        Every stream gets every event.  Events are not kept: what must not be missed comes by `messages`.
        """
        return self._engine.board.listen()

    def conversations(self) -> list[Conversation]:
        """Return all conversations but hidden ones and unanswered requests: pinned ones first, then the latest."""
        return self._list(requests=False)

    def _list(self, *, requests: bool) -> list[Conversation]:
        engine = self._engine
        return [
            replace(line, last=line.last and engine.shown(line.last))
            for line in engine.actions.conversations(requests=requests)
        ]

    def watching(self) -> AbstractContextManager[None]:
        """Ask for news more often while the `with` block runs, as when somebody looks at a conversation."""
        return self._engine.pace.watching()

    def message(self, number: int) -> Message | None:
        """Return a message by its `id`, which is a number of this account file, or None."""
        found = self._engine.store.conversations.message(number)
        return None if found is None else self._engine.shown(found)

    def history(self, peer: Person, *, limit: int = 50, before_ms: int | None = None) -> list[Message]:
        """Return the newest `limit` messages and notices with `peer`, or those before `before_ms`, oldest first."""
        found = self._engine.store.conversations.history(_id(peer), limit, before_ms)
        return [self._engine.shown(message) for message in found]

    def search(self, text: str, *, conversation: Person | None = None, limit: int = 100) -> list[Message]:
        """Return messages that hold all words of `text`, the newest first; the last word may be a beginning."""
        peer = None if conversation is None else _id(conversation)
        return [self._engine.shown(each) for each in self._engine.store.conversations.search(text, limit, peer)]

    def count_messages(self) -> int:
        """Return how many messages and notices there are in all conversations."""
        return sum(1 for _ in self._engine.store.conversations.all())

    def _check_receiving(self) -> None:
        self._open_parts()
        if not self._receive:
            raise NotReceiving("this client does not receive", remedy="Open it without receive=False.")


def _untold(_deletion: Deletion) -> None:
    """Tell nobody how far a deletion is."""


def _id(person: Person) -> AccountId:
    return AccountId.parse(person) if isinstance(person, str) else person
