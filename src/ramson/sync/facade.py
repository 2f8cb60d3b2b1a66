"""The synchronous API: an account, and the values it gives out.

Written from `ramson.messenger.client.Client` by `python tools/write_sync.py`; a test fails when it is stale.  Not to be
edited: what it stands on is in `ramson.sync.loop`.
"""

# ruff: noqa: E501, FBT001, FBT002, F401, PLC2701, PLR0904, PLW0108, RUF100, SLF001 - written by a program

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeAlias

from ramson.crypto.account import AccountId
from ramson.messenger.account import DEFAULT_COST
from ramson.messenger.archive import ARCHIVE_COST
from ramson.messenger.client import Client as AsyncClient
from ramson.messenger.client import Person, Settings
from ramson.messenger.deletion import Deletion
from ramson.messenger.events import (
    CatchUp,
    ContactChanged,
    ConversationRead,
    MessageExpired,
    MessageSettled,
    MessagesRead,
    MessageUnsent,
    MessageUploading,
    PictureChanged,
    ProfileChanged,
    ReactionChanged,
    RequestAccepted,
    RequestReceived,
    SubscriptionChanged,
    TimerChanged,
    TypingChanged,
)
from ramson.messenger.events import MessageReceived as AsyncMessageReceived
from ramson.messenger.events import MessageSynced as AsyncMessageSynced
from ramson.messenger.message import Attachment as AsyncAttachment
from ramson.messenger.message import Conversation as AsyncConversation
from ramson.messenger.message import FileToSend, Progress, Receipt
from ramson.messenger.message import Message as AsyncMessage
from ramson.messenger.pictures import Contact
from ramson.messenger.vault import KeyCost
from ramson.network import MAINNET, NetworkProfile, PathStatus, Trace
from ramson.network.trace import no_trace
from ramson.protocol import content
from ramson.protocol.config import Picture
from ramson.protocol.content import NEVER, CommunityInvitation, Expiration, LinkPreview, Profile, Quote
from ramson.protocol.nodes import NodeRecord
from ramson.reach import NO_WISHES, ReachSettings
from ramson.sync.loop import PROCESS_LOOP, Iteration, Loop, Opened, twin_of, waited
from ramson.world import World

__all__ = ["Attachable", "Attachment", "Client", "Conversation", "Event", "Message", "MessageReceived", "MessageSynced"]


@twin_of(AsyncAttachment)
@dataclass(frozen=True, slots=True)
class Attachment(AsyncAttachment):
    """A file that a message carries; of an incoming one, all that is said here is the sender's word.

    `name` is fit for this machine's disk and never leads anywhere; it may be empty.  `size` is in bytes; `width` and
    `height` in pixels, 0 if unknown.  `pointer` says where the file is and holds its key.
    """

    _loop: Loop | None = field(default=None, repr=False, compare=False, kw_only=True)

    def save(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:  # type: ignore[override]
        """Fetch the file and return where it was written.

        `path` is a directory, in which it gets a free name like its own, or the name of a file, which is replaced.
        What was fetched before an interruption is not fetched again if the server serves parts.  The file is there
        only when it is complete and was checked.  Raises OSError, ParseError for one that cannot be right,
        FileGone, FileError, UnknownServer, RequestFailed, NoPath, NoFileServer.
        """
        answer: Path = waited(self, lambda: AsyncAttachment.save(self, path, progress=progress))
        return answer

    def read(self, *, progress: Progress | None = None) -> bytes:  # type: ignore[override]
        """Fetch the file and return its bytes, at most some 10 MB.  Raises as `save` does."""
        answer: bytes = waited(self, lambda: AsyncAttachment.read(self, progress=progress))
        return answer


@twin_of(AsyncMessage)
@dataclass(frozen=True, slots=True)
class Message(AsyncMessage):
    """One text message, or a notice.  `sent_ms` is the sender's clock, Unix milliseconds; order follows it.

    `conversation` is the other side: the sender of an incoming message, the recipient of one's own.  A message of
    attachments only has an empty body.  `read` says of an incoming message that we have read it, of our own that the
    other side told so.  `request` is true while its sender is not approved by us.  `expires_ms` is when it will
    disappear, None if never or not yet decided; `expiration` is its setting, for a TIMER notice the new one.
    """

    attachments: tuple[Attachment, ...] = ()

    _loop: Loop | None = field(default=None, repr=False, compare=False, kw_only=True)

    def reply(self, text: str = "", *, quote: bool = False, attachments: Sequence[Attachable] = ()) -> Receipt:  # type: ignore[override]
        """Send to the same conversation, as Client.send does; with `quote` it refers to this message."""
        answer: Receipt = waited(self, lambda: AsyncMessage.reply(self, text, quote=quote, attachments=attachments))
        return answer

    def react(self, emoji: str) -> None:  # type: ignore[override]
        """React to this message, as Client.react does."""
        waited(self, lambda: AsyncMessage.react(self, emoji))

    def unreact(self, emoji: str) -> None:  # type: ignore[override]
        """Withdraw a reaction."""
        waited(self, lambda: AsyncMessage.unreact(self, emoji))

    def unsend(self) -> None:  # type: ignore[override]
        """Take this message back, as Client.unsend does."""
        waited(self, lambda: AsyncMessage.unsend(self))

    def mark_read(self) -> None:  # type: ignore[override]
        """Mark the conversation read up to this message."""
        waited(self, lambda: AsyncMessage.mark_read(self))


@twin_of(AsyncConversation)
@dataclass(frozen=True, slots=True)
class Conversation(AsyncConversation):
    """One line of the list of conversations.

    `name` is the nickname or the name the other side gave itself, empty if unknown.  `priority` is above 0 if it is
    pinned.  `request` is true while we have not approved the other side.
    """

    last: Message | None


@twin_of(AsyncMessageReceived)
@dataclass(frozen=True, slots=True)
class MessageReceived(AsyncMessageReceived):
    """Somebody wrote, or a notice came."""

    message: Message


@twin_of(AsyncMessageSynced)
@dataclass(frozen=True, slots=True)
class MessageSynced(AsyncMessageSynced):
    """Another device of ours sent this."""

    message: Message


@twin_of(AsyncClient)
class Client(Opened):
    """One account, open and connected; a context manager, good for one `with`.

    Leaving it without an exception marks the message a `messages` loop had in hand as delivered; leaving it
    with one does not, so that the message is given out again next time.

    What changes something is in the account file when the call returns, and reaches others as soon as there is a
    network.  People are given by account id, as a value or as text; AccountIdError is raised for what is none.
    """

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
        return cls.of(
            AsyncClient.open(
                path,
                passphrase=passphrase,
                network=network,
                world=world,
                receive=receive,
                connect=connect,
                share=share,
                subscribe=subscribe,
                reach=reach,
                trace=trace,
            ),
            PROCESS_LOOP,
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
        return cls.of(
            AsyncClient.create(
                path,
                passphrase=passphrase,
                network=network,
                world=world,
                name=name,
                phrase=phrase,
                cost=cost,
                receive=receive,
                subscribe=subscribe,
                reach=reach,
                trace=trace,
            ),
            PROCESS_LOOP,
        )

    @property
    def account_id(self) -> AccountId:
        """The id others write to."""
        answer: AccountId = self._ask(lambda: self._inner.account_id)
        return answer

    @property
    def name(self) -> str:
        """The display name that messages carry; may be empty."""
        answer: str = self._ask(lambda: self._inner.name)
        return answer

    @property
    def profile(self) -> Profile:
        """What messages say about us: name, picture, and when they were changed."""
        answer: Profile = self._ask(lambda: self._inner.profile)
        return answer

    @property
    def phrase(self) -> str:
        """The recovery phrase.  Whoever knows it is this account: show it to its owner and to nobody else."""
        answer: str = self._ask(lambda: self._inner.phrase)
        return answer

    def set_profile(
        self, name: str | None = None, *, picture: Picture | None = None, drop_picture: bool = False
    ) -> None:
        """Change the display name (up to 100 bytes), the picture, or both, on all devices; None leaves it.

        Others learn of it with our next messages.  Raises BadName.
        """
        self._wait(lambda: self._inner.set_profile(name, picture=picture, drop_picture=drop_picture))

    def set_avatar(self, picture: str | os.PathLike[str] | bytes | None) -> None:
        """Upload a profile picture, a path or its bytes, and show it on all devices; None takes it away.

        What the file tells beside the picture is removed, as from attachments, and what is larger than 600 pixels made
        smaller, which needs the extra `ramson[pictures]`.  Others learn of it with our next
        messages.  Raises NoPicture, BadPicture, BadAttachment, NoFileServer, FileError, RequestFailed, NoPath.
        """
        self._wait(lambda: self._inner.set_avatar(picture))

    @property
    def avatar(self) -> bytes | None:
        """Our profile picture; None if there is none, or it was set on another device and not fetched yet."""
        answer: bytes | None = self._ask(lambda: self._inner.avatar)
        return answer

    @property
    def settings(self) -> Settings:
        """What others learn of us."""
        answer: Settings = self._ask(lambda: self._inner.settings)
        return answer

    def set_settings(self, settings: Settings) -> None:
        """Change what others learn of us; on this device."""
        self._ask(lambda: self._inner.set_settings(settings))

    def export_archive(self, passphrase: str, *, cost: KeyCost = ARCHIVE_COST) -> bytes:
        """Return everything of the account, sealed with a passphrase of its own; see `ramson.messenger.archive`.

        Whoever opens it is this account.  A guess costs more than one at the account file.  Raises WeakPassphrase.
        """
        answer: bytes = self._wait(lambda: self._inner.export_archive(passphrase, cost=cost))
        return answer

    def import_archive(self, data: bytes, passphrase: str) -> int:
        """Add the messages of an archive of this account; return how many were new.

        Raises BadArchive, OtherAccount.
        """
        answer: int = self._wait(lambda: self._inner.import_archive(data, passphrase))
        return answer

    def export_json(self) -> str:
        """Return all conversations as plain JSON.  Not encrypted: whoever has it can read it."""
        answer: str = self._ask(lambda: self._inner.export_json())
        return answer

    def export_html(self) -> str:
        """Return all conversations as one HTML page.  Not encrypted: whoever has it can read it."""
        answer: str = self._ask(lambda: self._inner.export_html())
        return answer

    def synced(self) -> None:
        """Wait until this device has what the swarm has, and the swarm what it has; `ramson.sync.timeout` bounds it.

        After a restore: until the profile, the contacts and the read states are back.  Raises NotReceiving.
        """
        self._wait(lambda: self._inner.synced())

    @property
    def restoring(self) -> bool:
        """Whether the account was restored from its phrase and what its other devices know was not fetched yet.

        What is sent until then goes without the name, and without the timer that the conversation may have.
        """
        answer: bool = self._ask(lambda: self._inner.restoring)
        return answer

    @property
    def untold(self) -> bool:
        """Whether something was changed here that the swarm, and so our other devices, do not have yet."""
        answer: bool = self._ask(lambda: self._inner.untold)
        return answer

    def get_in_step(self) -> None:
        """Do what `synced` waits for, also without `receive`: then it fetches no messages.  For who only visits.

        It tries until it works; `ramson.sync.timeout` bounds it.  Raises NotReceiving without `connect`.
        """
        self._wait(lambda: self._inner.get_in_step())

    def delete_account(self, *, everywhere: bool, progress: Callable[[Deletion], None] | None = None) -> Deletion:
        """Delete the account file; with `everywhere` first all that our swarm keeps, as each of its nodes confirms.

        The client can do nothing after it.  What others have of us stays with them, and our other devices keep theirs
        and put the configs back: delete on the last device.  The file stays if a node did not
        confirm: see the result.  `progress` is told who has and who has not yet; a node that is silent takes 5 to 20 s.
        Raises RemoteError if no node could be asked.
        """
        answer: Deletion = self._wait(lambda: self._inner.delete_account(everywhere=everywhere, progress=progress))
        return answer

    @property
    def path(self) -> PathStatus:
        """The path light: colour, reason, and the nodes messages travel by."""
        answer: PathStatus = self._ask(lambda: self._inner.path)
        return answer

    def watch_path(self) -> Iteration[PathStatus]:
        """Iterate over the present path status and all that follow."""
        answer: Iteration[PathStatus] = self._iterate(lambda: self._inner.watch_path())
        return answer

    @property
    def told_by(self) -> tuple[NodeRecord, ...]:
        """The nodes that tell us of messages at once, each of which knows our address; none without `subscribe`.

        Without any, news is asked for every few seconds.  SubscriptionChanged events tell when that changes.
        """
        answer: tuple[NodeRecord, ...] = self._ask(lambda: self._inner.told_by)
        return answer

    def send(
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
        `ramson.sync.timeout`; without `wait` the receipt comes at once and says `sending`.

        `quote` is a message this one answers to.  `attachments` (at most 32, of 10 MB each) are paths, `FileToSend`s,
        or attachments to be forwarded; with some the text may be empty.  Files are in the account file, encrypted,
        before they are uploaded and the message goes out.  Of `previews` there is at most one, of an https link in the
        text: nothing is fetched for it, what is shown is what you say.

        Writing to somebody approves them: a request of theirs is accepted by it.
        Raises BadText, BadRecipient, Blocked, AccountIdError, AccountFileError; for files BadAttachment, BadPicture,
        FileTooLarge, NoFileServer.
        """
        answer: Receipt = self._wait(
            lambda: self._inner.send(
                to, text, wait=wait, quote=quote, attachments=attachments, previews=previews, invitation=invitation
            )
        )
        return answer

    def reply(
        self, message: Message, text: str = "", *, quote: bool = False, attachments: Sequence[Attachable] = ()
    ) -> Receipt:
        """Send to the conversation of a message, as `send` does; with `quote` it refers to the message."""
        answer: Receipt = self._wait(lambda: self._inner.reply(message, text, quote=quote, attachments=attachments))
        return answer

    def resend(self, message: Message, *, wait: bool = True) -> Receipt:
        """Send a text again that has failed.  Raises NoSuchMessage."""
        answer: Receipt = self._wait(lambda: self._inner.resend(message, wait=wait))
        return answer

    def settled(self, receipt: Receipt) -> Receipt:
        """Wait until the message of a receipt is stored or has failed for good, and return the new receipt."""
        answer: Receipt = self._wait(lambda: self._inner.settled(receipt))
        return answer

    def drain(self) -> None:
        """Wait until nothing is left in the outbox, copies for our other devices included."""
        self._wait(lambda: self._inner.drain())

    def react(self, message: Message, emoji: str) -> None:
        """React to a message with an emoji.  Raises BadReaction, TooManyReactions, NotApproved, NoSuchMessage."""
        self._wait(lambda: self._inner.react(message, emoji))

    def unreact(self, message: Message, emoji: str) -> None:
        """Withdraw a reaction of ours."""
        self._wait(lambda: self._inner.unreact(message, emoji))

    def unsend(self, message: Message) -> None:
        """Take back a message of ours, from both sides' devices and our swarm.

        Programs of others may have shown or kept it.  Raises NotYours, NoSuchMessage.
        """
        self._wait(lambda: self._inner.unsend(message))

    def delete(self, message: Message) -> None:
        """Delete a message from this device and our swarm; other devices that have it keep it."""
        self._wait(lambda: self._inner.delete(message))

    def mark_read(self, conversation: Person | Message) -> None:
        """Mark a conversation read, or only up to a message, on all devices.

        What disappears after reading begins to; if read receipts are on, the other side is told.
        """
        self._wait(lambda: self._inner.mark_read(conversation))

    def mark_unread(self, conversation: Person) -> None:
        """Mark a conversation unread by hand, on all devices."""
        self._wait(lambda: self._inner.mark_unread(conversation))

    def typing(self, to: Person, *, started: bool = True) -> bool:
        """Tell somebody that we began or stopped to type; return whether that was done.

        Nothing is told unless the setting is on and both sides have approved each other.  To be repeated every 10 s,
        and ended 10 s after the last letter.
        """
        answer: bool = self._wait(lambda: self._inner.typing(to, started=started))
        return answer

    def tell_screenshot(self, to: Person) -> None:
        """Tell somebody that a picture of the conversation with them was taken.  Raises NotApproved."""
        self._wait(lambda: self._inner.tell_screenshot(to))

    def tell_saved(self, message: Message) -> None:
        """Tell the sender of a message that a file of it was saved.  Raises NotApproved."""
        self._wait(lambda: self._inner.tell_saved(message))

    def set_disappearing(self, conversation: Person, expiration: Expiration = NEVER) -> None:
        """Let what we write there disappear from now on, and say so there.

        `Expiration(ExpirationMode.AFTER_READ | AFTER_SEND, timer_s)`, 10 s to 14 days; others offer 5 min, 1 h, 12 h,
        1 d, 1 w, 2 w.  NEVER turns it off.  To follow the other side, take the `expiration` of its TIMER notice.
        Raises BadTimer, Blocked.
        """
        self._wait(lambda: self._inner.set_disappearing(conversation, expiration))

    def contacts(self) -> list[Contact]:
        """Return everyone we have approved or blocked, by id."""
        answer: list[Contact] = self._ask(lambda: self._inner.contacts())
        return answer

    def people(self) -> list[Contact]:
        """Return everyone we know, also who only made a request, by id."""
        answer: list[Contact] = self._ask(lambda: self._inner.people())
        return answer

    def contact(self, person: Person) -> Contact | None:
        """Return what we know about somebody, or None."""
        answer: Contact | None = self._ask(lambda: self._inner.contact(person))
        return answer

    def requests(self) -> list[Conversation]:
        """Return conversations with people who wrote to us and were neither accepted nor blocked, the latest first."""
        answer: list[Conversation] = self._ask(lambda: self._inner.requests())
        return answer

    def accept(self, person: Person) -> None:
        """Accept a message request; its sender is told.  Raises Blocked."""
        self._wait(lambda: self._inner.accept(person))

    def decline(self, person: Person) -> None:
        """Delete a request, or any contact, with all messages, on all devices and in our swarm.

        Its sender is not told, and may write again.
        """
        self._wait(lambda: self._inner.decline(person))

    def block(self, person: Person, *, blocked: bool = True) -> None:
        """Drop whatever somebody sends from now on; with `blocked=False` no longer.  On all devices."""
        self._wait(lambda: self._inner.block(person, blocked=blocked))

    def set_nickname(self, person: Person, nickname: str) -> None:
        """Call somebody by another name (up to 100 bytes), on our devices only; an empty one undoes it."""
        self._wait(lambda: self._inner.set_nickname(person, nickname))

    def set_priority(self, person: Person, priority: int) -> None:
        """Pin a conversation (1 and more), let it be as others (0), or hide it until somebody writes (-1)."""
        self._wait(lambda: self._inner.set_priority(person, priority))

    def messages(self, *, passing_over: Callable[[], Collection[AccountId]] = tuple) -> Iteration[Message]:
        """Yield texts that others write, from what came while nobody listened on; by sent time, each once.

        A message counts as delivered when the loop asks for the next one, or when the client is left without an
        exception.  Several loops at once share the messages.  `passing_over` is asked each time which conversations are
        to be left for later, at most some hundreds; what it says is heeded within 5 s.
        """
        answer: Iteration[Message] = self._iterate(lambda: self._inner.messages(passing_over=passing_over))
        return answer

    def events(self) -> Iteration[Event]:
        """Return all that happens from now on as typed events, for `for`; see `ramson.messenger.events`.

        Every stream gets every event.  Events are not kept: what must not be missed comes by `messages`.
        """
        answer: Iteration[Event] = self._iterate(lambda: self._inner.events())
        return answer

    def conversations(self) -> list[Conversation]:
        """Return all conversations but hidden ones and unanswered requests: pinned ones first, then the latest."""
        answer: list[Conversation] = self._ask(lambda: self._inner.conversations())
        return answer

    def watching(self) -> AbstractContextManager[None]:
        """Ask for news more often while the `with` block runs, as when somebody looks at a conversation."""
        answer: AbstractContextManager[None] = self._ask(lambda: self._inner.watching())
        return answer

    def message(self, number: int) -> Message | None:
        """Return a message by its `id`, which is a number of this account file, or None."""
        answer: Message | None = self._ask(lambda: self._inner.message(number))
        return answer

    def history(self, peer: Person, *, limit: int = 50, before_ms: int | None = None) -> list[Message]:
        """Return the newest `limit` messages and notices with `peer`, or those before `before_ms`, oldest first."""
        answer: list[Message] = self._ask(lambda: self._inner.history(peer, limit=limit, before_ms=before_ms))
        return answer

    def search(self, text: str, *, conversation: Person | None = None, limit: int = 100) -> list[Message]:
        """Return messages that hold all words of `text`, the newest first; the last word may be a beginning."""
        answer: list[Message] = self._ask(lambda: self._inner.search(text, conversation=conversation, limit=limit))
        return answer

    def count_messages(self) -> int:
        """Return how many messages and notices there are in all conversations."""
        answer: int = self._ask(lambda: self._inner.count_messages())
        return answer


Attachable: TypeAlias = str | os.PathLike[str] | FileToSend | Attachment | content.Attachment
"""What `send` takes as an attachment: a path, a file with more to say of it, or one that is on a server already."""

Event: TypeAlias = (
    MessageReceived
    | MessageSynced
    | MessageSettled
    | MessageUploading
    | CatchUp
    | SubscriptionChanged
    | PictureChanged
    | ReactionChanged
    | TypingChanged
    | MessagesRead
    | ConversationRead
    | MessageUnsent
    | MessageExpired
    | RequestReceived
    | RequestAccepted
    | ContactChanged
    | ProfileChanged
    | TimerChanged
)
"""Any of the events."""
