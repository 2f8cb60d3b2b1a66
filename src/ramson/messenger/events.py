"""What happens to an account while it is open, as frozen values, and how they reach who wants to know.

Events are told as they happen and are not kept: what must not be missed is in the conversations, and new texts
come by `Client.messages` even after a restart.  Spec: SDK.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self, TypeAlias

from ramson.crypto.account import AccountId
from ramson.messenger.message import Message, Receipt
from ramson.protocol.config import Contact
from ramson.protocol.content import Expiration

MOST_WAITING: Final = 10_000  # events that a listener may be behind before it loses the oldest

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """Somebody wrote, or a notice came."""

    message: Message


@dataclass(frozen=True, slots=True)
class MessageSynced:
    """Another device of ours sent this."""

    message: Message


@dataclass(frozen=True, slots=True)
class MessageSettled:
    """A message of ours is stored in the recipient's swarm, or has failed for good."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class MessageUploading:
    """More of the files of a message of ours is on the file server, or could not be put there yet.

    `receipt.uploaded` of `receipt.to_upload` bytes are; a server that takes pieces tells it within a file.
    """

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What came while nobody listened is being fetched, page by page.

    `fetched` are the messages and notices so far; with `more` nodes say that they have more.  How many they do not say.
    """

    fetched: int
    more: bool


@dataclass(frozen=True, slots=True)
class SubscriptionChanged:
    """With `subscribe`: nodes tell us of messages at once from now on (`live`), or do so no longer and are asked."""

    live: bool


@dataclass(frozen=True, slots=True)
class PictureChanged:
    """Somebody's profile picture, or our own, was fetched or is another: see `contact.avatar`."""

    id: AccountId


@dataclass(frozen=True, slots=True)
class ReactionChanged:
    """`reactor` put an emoji to the message of `author` and `sent_ms`, or took it away."""

    conversation: AccountId
    author: AccountId
    sent_ms: int
    reactor: AccountId
    emoji: str = field(repr=False)
    removed: bool


@dataclass(frozen=True, slots=True)
class TypingChanged:
    """The other side began or stopped to type; what began counts for 15 s."""

    peer: AccountId
    typing: bool


@dataclass(frozen=True, slots=True)
class MessagesRead:
    """The other side has read our messages with these sent times."""

    peer: AccountId
    sent_ms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ConversationRead:
    """We have read a conversation up to this sent time, on some device."""

    peer: AccountId
    up_to_ms: int


@dataclass(frozen=True, slots=True)
class MessageUnsent:
    """A message was taken back by its author."""

    conversation: AccountId
    author: AccountId
    sent_ms: int


@dataclass(frozen=True, slots=True)
class MessageExpired:
    """A message has disappeared."""

    conversation: AccountId
    sent_ms: int


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """Somebody unknown has written for the first time."""

    contact: Contact


@dataclass(frozen=True, slots=True)
class RequestAccepted:
    """Somebody to whom we wrote has accepted."""

    contact: Contact


@dataclass(frozen=True, slots=True)
class ContactChanged:
    """A contact was added or changed, here or on another device; None: it is no contact any more."""

    id: AccountId
    contact: Contact | None


@dataclass(frozen=True, slots=True)
class ProfileChanged:
    """Our own name or picture changed, here or on another device."""

    name: str


@dataclass(frozen=True, slots=True)
class TimerChanged:
    """The other side changed its disappearing-messages setting; ours stays as it is until we follow."""

    peer: AccountId
    expiration: Expiration


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


class EventStream:
    """The events since this was made, for one listener; ends when it is closed."""

    def __init__(self, board: EventBoard) -> None:
        self._board = board
        self._waiting: deque[Event] = deque(maxlen=MOST_WAITING)
        self._news = asyncio.Event()
        self._closed = False

    def tell(self, event: Event) -> None:
        """Hand an event over."""
        if len(self._waiting) == MOST_WAITING:
            _log.warning("a listener is too slow: an event was lost")
        self._waiting.append(event)
        self._news.set()

    def close(self) -> None:
        """End the stream after what is waiting."""
        self._closed = True
        self._board.leave(self)
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """As `close`, for `contextlib.aclosing`."""
        self.close()


class EventBoard:
    """Everyone who listens."""

    def __init__(self) -> None:
        self._streams: list[EventStream] = []

    def listen(self) -> EventStream:
        """Return a new stream."""
        stream = EventStream(self)
        self._streams.append(stream)
        return stream

    def leave(self, stream: EventStream) -> None:
        """Stop telling a stream."""
        if stream in self._streams:
            self._streams.remove(stream)

    def tell(self, events: Iterable[Event]) -> None:
        """Tell everyone."""
        for event in events:
            for stream in self._streams:
                stream.tell(event)

    def close(self) -> None:
        """End all streams."""
        for stream in list(self._streams):
            stream.close()
