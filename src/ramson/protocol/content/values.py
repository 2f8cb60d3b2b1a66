"""What a message can say, as frozen values.

Times are Unix milliseconds unless a name ends in `_s`.  Texts, keys and secrets do not show in a repr.
Spec: messaging.md §3.1, §3.4, §3.6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, TypeAlias

from ramson.crypto.account import AccountId


class ExpirationMode(IntEnum):
    """When a disappearing message begins to disappear."""

    NONE = 0
    AFTER_READ = 1
    AFTER_SEND = 2


@dataclass(frozen=True, slots=True)
class Expiration:
    """A disappearing-messages setting; a `timer_s` of 0 is off."""

    mode: ExpirationMode = ExpirationMode.NONE
    timer_s: int = 0

    @property
    def active(self) -> bool:
        """Whether a message with it disappears; a timer of an unknown kind does not count."""
        return self.mode is not ExpirationMode.NONE and self.timer_s > 0


NEVER: Final = Expiration()


@dataclass(frozen=True, slots=True)
class Profile:
    """What a sender says about itself.  `key` decrypts the picture; `updated_s` is Unix seconds, 0 unknown."""

    name: str = ""
    picture_url: str = ""
    key: bytes = field(default=b"", repr=False)
    updated_s: int = 0


@dataclass(frozen=True, slots=True)
class Quote:
    """A reference to another message by its sent time (ms) and author."""

    sent_ms: int
    author: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where a file is and what opens it; fetching is not done here.

    `size` is that of the plain file in bytes; `id` is an old way to name the file, still required on the wire.
    """

    url: str = field(default="", repr=False)
    key: bytes = field(default=b"", repr=False)
    digest: bytes = field(default=b"", repr=False)
    size: int = 0
    content_type: str = ""
    file_name: str = field(default="", repr=False)
    caption: str = field(default="", repr=False)
    width: int = 0
    height: int = 0
    voice: bool = False
    id: int = 0


@dataclass(frozen=True, slots=True)
class LinkPreview:
    """What the sender's program found behind a link of its message."""

    url: str = field(repr=False)
    title: str = field(default="", repr=False)
    image: Attachment | None = None


@dataclass(frozen=True, slots=True)
class CommunityInvitation:
    """An invitation to a community: its name and full URL."""

    url: str
    name: str


@dataclass(frozen=True, slots=True)
class TextMessage:
    """A message for people.

    `sync_target` is set in the copy a sender leaves for its own other devices: whom it was sent to.
    `origin` is the Content it was read from: what this class does not know survives in it when the message is
    encoded again, and of what it knows only `body`, `sync_target`, `profile` and `expiration` are then written.
    """

    body: str = field(repr=False)
    sent_ms: int
    sync_target: AccountId | None = None
    profile: Profile | None = field(default=None, repr=False)
    quote: Quote | None = field(default=None, repr=False)
    expiration: Expiration = NEVER
    attachments: tuple[Attachment, ...] = ()
    previews: tuple[LinkPreview, ...] = ()
    invitation: CommunityInvitation | None = None
    origin: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class TimerUpdate:
    """A notice that the sender has changed its disappearing-messages setting."""

    expiration: Expiration
    sent_ms: int
    sync_target: AccountId | None = None
    profile: Profile | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ReactionChange:
    """A reaction to the message that `author` sent at `target_ms`, or its withdrawal."""

    target_ms: int
    author: AccountId
    emoji: str = field(repr=False)
    removed: bool
    sent_ms: int
    sync_target: AccountId | None = None
    profile: Profile | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Typing:
    """The sender has begun or stopped to type."""

    started: bool
    sent_ms: int


@dataclass(frozen=True, slots=True)
class ReadReceipt:
    """The sender has read our messages with these sent times."""

    read_ms: tuple[int, ...]
    sent_ms: int


@dataclass(frozen=True, slots=True)
class Unsend:
    """The sender takes back its message of `target_ms`; that it is its own was checked."""

    target_ms: int
    author: AccountId
    sent_ms: int


@dataclass(frozen=True, slots=True)
class RequestResponse:
    """The sender has accepted our message request."""

    approved: bool
    sent_ms: int
    profile: Profile | None = field(default=None, repr=False)


class Extraction(IntEnum):
    """What was done with what one sees."""

    SCREENSHOT = 1
    MEDIA_SAVED = 2


@dataclass(frozen=True, slots=True)
class DataExtraction:
    """The sender has taken a picture of the conversation, or saved a file that was sent at `target_ms`."""

    what: Extraction
    sent_ms: int
    target_ms: int = 0
    expiration: Expiration = NEVER


class CallStep(IntEnum):
    """Where a call is."""

    OFFER = 1
    ANSWER = 2
    PROVISIONAL_ANSWER = 3
    ICE_CANDIDATES = 4
    END_CALL = 5
    PRE_OFFER = 6


@dataclass(frozen=True, slots=True)
class Call:
    """One step of a call; what it says about addresses stays in the Content."""

    step: CallStep
    call_id: str
    sent_ms: int
    expiration: Expiration = NEVER

    @property
    def rings(self) -> bool:
        """Whether the sender is calling."""
        return self.step in {CallStep.PRE_OFFER, CallStep.OFFER}


@dataclass(frozen=True, slots=True)
class GroupInvite:
    """An invitation to a group (03): its name, our credential (100 bytes), and an admin's signature."""

    group: AccountId
    name: str = field(repr=False)
    auth_data: bytes = field(repr=False)
    admin_signature: bytes = field(repr=False)
    sent_ms: int
    profile: Profile | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class GroupPromotion:
    """A group's admin seed (32 bytes), which makes us an admin."""

    seed: bytes = field(repr=False)
    name: str = field(repr=False)
    sent_ms: int
    profile: Profile | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class OtherContent:
    """Content of kinds that have no class here, by their field names in session.proto."""

    kinds: tuple[str, ...]
    sent_ms: int
    origin: bytes = field(default=b"", repr=False, compare=False)


Decoded: TypeAlias = (
    TextMessage
    | TimerUpdate
    | ReactionChange
    | Typing
    | ReadReceipt
    | Unsend
    | RequestResponse
    | DataExtraction
    | Call
    | GroupInvite
    | GroupPromotion
    | OtherContent
)
Sendable: TypeAlias = (
    TextMessage | TimerUpdate | ReactionChange | Typing | ReadReceipt | Unsend | RequestResponse | DataExtraction
)
