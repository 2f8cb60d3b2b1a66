"""What it takes to declare a storage method: its fields, what is signed, and its time rule.

`requests` declares every method with these, once; everything else about it is made from there: the node's parser, the
client's parameters, the bencoded form that nodes forward to one another, the signed text, and the method table of the
documentation.  Spec: storage-rpc.md §3–4, swarms.md §6.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import Any, Final

from ramson.protocol.storage.kinds import ED25519, SIGNATURE, TOKEN, Kind
from ramson.protocol.storage.limits import SIGNATURE_TOLERANCE_MS


class Access(IntFlag):
    """What a subaccount token allows."""

    READ = 1
    WRITE = 2
    DELETE = 4
    ANY_PREFIX = 8


class Auth(Enum):
    """When a request must be signed."""

    NEVER = "never"
    PRIVATE_STORE = "to store where not everyone may"
    PRIVATE_READ = "to read where not everyone may"
    ALWAYS = "always"


class Side(Enum):
    """Which side of the node's time a timestamp must keep to."""

    NEAR = "within"
    NOT_AFTER = "at most"
    NOT_BEFORE = "at least"


@dataclass(frozen=True, slots=True)
class TimeRule:
    """How far a signed time may be from the node's.

    `attr` holds the time, or several; tolerances are ms, `forwarded` that for requests of other members.
    """

    attr: str
    side: Side
    refusal: str
    status: int = 406
    tolerance: int = SIGNATURE_TOLERANCE_MS
    forwarded: int = SIGNATURE_TOLERANCE_MS


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter.

    `attr` is the attribute of the request type (as `name` unless said).  `client` and `forwarded` tell whether it is
    written in requests of clients and between nodes; `default` is the value that need not be written.
    """

    name: str
    kind: Kind
    about: str
    attr: str = ""
    aliases: tuple[str, ...] = ()
    required: bool = False
    default: Any = None
    client: bool = True
    forwarded: bool = True

    @property
    def attribute(self) -> str:
        """The attribute that holds the value."""
        return self.attr or self.name


@dataclass(frozen=True, slots=True)
class Method:
    """One method.  `signs` lists attributes whose texts follow the method's name in what is signed."""

    name: str
    about: str
    fields: tuple[Field, ...] = ()
    aliases: tuple[str, ...] = ()
    pubkey_aliases: tuple[str, ...] = ()
    auth: Auth = Auth.NEVER
    signs: tuple[str, ...] = ()
    signature_refusal: str = ""
    access: Access | None = None
    time: TimeRule | None = None
    recursive: bool = False


PUBKEY: Final = "pubkey"
SIGNATURE_FIELD: Final = Field("signature", SIGNATURE, "Ed25519 signature")
ED25519_FIELD: Final = Field("pubkey_ed25519", ED25519, "the Ed25519 key of an account 05…")
SUBACCOUNT_FIELD: Final = Field("subaccount", TOKEN, "token of the key that signs")
SUBACCOUNT_SIG_FIELD: Final = Field("subaccount_sig", SIGNATURE, "the owner's signature over the token")
AUTH_FIELDS: Final = (SIGNATURE_FIELD, ED25519_FIELD, SUBACCOUNT_FIELD, SUBACCOUNT_SIG_FIELD)
