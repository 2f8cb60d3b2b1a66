"""What the messenger tells its user: messages, their states, and receipts for what was sent.  Values only."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from ramson.crypto.account import AccountId
from ramson.errors import LocalError
from ramson.messenger.file_names import safe_name
from ramson.protocol import content
from ramson.protocol.content import NEVER, CommunityInvitation, Expiration, LinkPreview, Quote

# Told how many bytes have come or gone, and of how many; -1 while that is not known.
Progress = Callable[[int, int], None]


class State(StrEnum):
    """Where a message is."""

    RECEIVED = "received"
    SENDING = "sending"  # in the outbox; it goes out by itself as soon as it can
    SENT = "sent"  # stored in the recipient's swarm
    FAILED = "failed"  # no retry can help; the reason says why


class Kind(StrEnum):
    """What stands in a conversation: texts and notices."""

    TEXT = "text"
    TIMER = "timer"  # somebody changed their disappearing-messages setting
    MISSED_CALL = "missed call"
    SCREENSHOT = "screenshot"
    MEDIA_SAVED = "media saved"
    GROUP_INVITE = "group invite"
    GROUP_PROMOTION = "group promotion"
    DELETED = "deleted"  # its author took it back


class FileState(StrEnum):
    """Where the file of an attachment is."""

    WAITING = "waiting"  # ours, and not on a file server yet
    SERVED = "on the server"  # for some days: servers keep files for about two weeks
    SAVED = "saved"  # fetched and written to a file; the server may still have it
    GONE = "gone"  # the server has it no more


class NoReply(LocalError):
    """A reply to a message that does not belong to an open client."""


class NoFileServer(LocalError):
    """Files were asked of a network that has no file server."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message that was sent.

    `stored` of `total` nodes of the recipient's swarm acknowledged it (0 of 0 until one did).  `hash` names
    it in the swarm.  `reason` says why it failed, or what the last attempt ran into while it is still
    sending; it is empty otherwise.  (author, `sent_ms`) identifies the message.  Of `to_upload` encrypted bytes of its
    attachments `uploaded` are on the file server; both are 0 when nothing is to be uploaded any more.
    """

    state: State
    sent_ms: int
    hash: str | None = None
    stored: int = 0
    total: int = 0
    attempts: int = 0
    reason: str = ""
    id: int = field(default=0, repr=False)  # of the message in the account file
    uploaded: int = 0
    to_upload: int = 0

    @property
    def summary(self) -> str:
        """Where the message is, in a few words for a person."""
        match self.state:
            case State.SENT:
                return f"sent to {self.stored} of {self.total} nodes" if self.total else "sent"
            case State.FAILED:
                return f"failed because {self.reason or 'of an unknown reason'}"
            case State.SENDING:
                what = f"uploading {100 * self.uploaded // self.to_upload}%" if self.to_upload else "sending"
                return f"{what} ({self.reason})" if self.reason else what
        return self.state.value


@dataclass(frozen=True, slots=True)
class FileToSend:
    """A file to be sent with a message: its bytes, or where it lies.

    `name` and `content_type` are found out unless given; of a picture, its sides are.  From JPEG, PNG and WebP files
    what they tell beside the picture (place, time, device) is removed, unless `keep_metadata`.  `voice` marks what was
    spoken for this message.
    """

    content: bytes | Path = field(repr=False)
    name: str = field(default="", repr=False)
    content_type: str = ""
    voice: bool = False
    caption: str = field(default="", repr=False)
    keep_metadata: bool = False


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a message carries; of an incoming one, all that is said here is the sender's word.

    `name` is fit for this machine's disk and never leads anywhere; it may be empty.  `size` is in bytes; `width` and
    `height` in pixels, 0 if unknown.  `pointer` says where the file is and holds its key.
    """

    name: str = field(repr=False)
    content_type: str
    size: int
    width: int = 0
    height: int = 0
    voice: bool = False
    caption: str = field(default="", repr=False)
    state: FileState = FileState.SERVED
    pointer: content.Attachment = field(default=content.Attachment(), repr=False)
    message: int = field(default=0, repr=False, compare=False)  # its id in the account file
    place: int = field(default=0, repr=False, compare=False)  # among the attachments of the message
    _files: FileAnswers | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, pointer: content.Attachment, message: int, place: int, fetched: FileState | None) -> Attachment:
        """Return what a pointer says, fit to be shown; `fetched` is what became of it."""
        return cls(
            name=safe_name(pointer.file_name),
            content_type=pointer.content_type or "application/octet-stream",
            size=pointer.size,
            width=pointer.width,
            height=pointer.height,
            voice=pointer.voice,
            caption=pointer.caption,
            state=(fetched or FileState.SERVED) if pointer.url else FileState.WAITING,
            pointer=pointer,
            message=message,
            place=place,
        )

    async def save(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
        """Fetch the file and return where it was written.

        `path` is a directory, in which it gets a free name like its own, or the name of a file, which is replaced.
        What was fetched before an interruption is not fetched again if the server serves parts.  The file is there
        only when it is complete and was checked.  Raises OSError, ParseError for one that cannot be right,
        FileGone, FileError, UnknownServer, RequestFailed, NoPath, NoFileServer.
        """
        return await self._open().save_file(self, Path(path), progress)

    async def read(self, *, progress: Progress | None = None) -> bytes:
        """Fetch the file and return its bytes, at most some 10 MB.  Raises as `save` does."""
        return await self._open().read_file(self, progress)

    def _open(self) -> FileAnswers:
        if self._files is None:
            raise NoReply("this attachment does not come from an open client", remedy="Use it inside `async with`.")
        return self._files


class FileAnswers(Protocol):
    """What can be done with an attachment of an open client."""

    async def save_file(self, attachment: Attachment, path: Path, progress: Progress | None) -> Path:
        """Fetch it into a file."""
        ...

    async def read_file(self, attachment: Attachment, progress: Progress | None) -> bytes:
        """Fetch its bytes."""
        ...


Attachable = str | os.PathLike[str] | FileToSend | Attachment | content.Attachment
"""What `send` takes as an attachment: a path, a file with more to say of it, or one that is on a server already."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """An emoji and who put it there."""

    emoji: str
    reactor: AccountId


class Answers(Protocol):
    """What can be done with a message of an open client."""

    async def reply(
        self, message: Message, text: str = "", *, quote: bool = False, attachments: Sequence[Attachable] = ()
    ) -> Receipt:
        """Send a text, files, or both to its conversation."""
        ...

    async def react(self, message: Message, emoji: str) -> None:
        """React to it."""
        ...

    async def unreact(self, message: Message, emoji: str) -> None:
        """Withdraw a reaction."""
        ...

    async def unsend(self, message: Message) -> None:
        """Take it back."""
        ...

    async def mark_read(self, message: Message) -> None:
        """Mark the conversation read up to it."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """One text message, or a notice.  `sent_ms` is the sender's clock, Unix milliseconds; order follows it.

    `conversation` is the other side: the sender of an incoming message, the recipient of one's own.  A message of
    attachments only has an empty body.  `read` says of an incoming message that we have read it, of our own that the
    other side told so.  `request` is true while its sender is not approved by us.  `expires_ms` is when it will
    disappear, None if never or not yet decided; `expiration` is its setting, for a TIMER notice the new one.
    """

    sender: AccountId
    recipient: AccountId
    body: str = field(repr=False)
    sent_ms: int
    hash: str | None
    state: State
    conversation: AccountId
    kind: Kind = Kind.TEXT
    attachments: tuple[Attachment, ...] = ()
    quote: Quote | None = None
    previews: tuple[LinkPreview, ...] = ()
    invitation: CommunityInvitation | None = None
    reactions: tuple[Reaction, ...] = ()
    read: bool = False
    request: bool = False
    expiration: Expiration = NEVER
    expires_ms: int | None = None
    id: int = field(default=0, repr=False, compare=False)  # in the account file
    _answers: Answers | None = field(default=None, repr=False, compare=False)

    @property
    def incoming(self) -> bool:
        """Whether someone else wrote it."""
        return self.sender != self.recipient and self.sender == self.conversation

    async def reply(self, text: str = "", *, quote: bool = False, attachments: Sequence[Attachable] = ()) -> Receipt:
        """Send to the same conversation, as Client.send does; with `quote` it refers to this message."""
        return await self._open().reply(self, text, quote=quote, attachments=attachments)

    async def react(self, emoji: str) -> None:
        """React to this message, as Client.react does."""
        await self._open().react(self, emoji)

    async def unreact(self, emoji: str) -> None:
        """Withdraw a reaction."""
        await self._open().unreact(self, emoji)

    async def unsend(self) -> None:
        """Take this message back, as Client.unsend does."""
        await self._open().unsend(self)

    async def mark_read(self) -> None:
        """Mark the conversation read up to this message."""
        await self._open().mark_read(self)

    def _open(self) -> Answers:
        if self._answers is None:
            raise NoReply("this message does not come from an open client", remedy="Use the methods of Client.")
        return self._answers


@dataclass(frozen=True, slots=True)
class Conversation:
    """One line of the list of conversations.

    `name` is the nickname or the name the other side gave itself, empty if unknown.  `priority` is above 0 if it is
    pinned.  `request` is true while we have not approved the other side.
    """

    peer: AccountId
    name: str = field(repr=False)
    last: Message | None
    unread: int
    priority: int = 0
    request: bool = False
    blocked: bool = False
    marked_unread: bool = False
    muted_until_s: int = 0
    expiration: Expiration = NEVER
