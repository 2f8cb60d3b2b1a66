"""Batches of copies as nodes send them to one another: version `01`, which all nodes know, and `02`, which is ours.

Bytes in, values out; nothing is believed here, only bounded and typed.  What a database can hold can be sent and read,
so that one odd copy does not stop all others.  Spec: swarms.md §5 for `01`; it leaves out the
namespace, deletes and revocations, and an implementation is told to use a further version byte.

`02` is the byte and a bencoded dict: `e` copies, each [account, namespace, hash, birth, dead, version, expiry,
timestamp, until, proof] and, for one that comes whole, its data; `p` the proofs that copies and tokens name by their
place, −1 being none; `t` tokens, each [account, token, stamp, revoked, proof].  `until` is when a ghost ends, 0 for a
message.  The answer to a batch that was sent unasked is one part, a bencoded dict: `n` copies that changed something,
`o` copies of accounts that are not the receiver's, `w` the places of copies it wants whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ramson.errors import ParseError
from ramson.node.mailbox import Held, HeldToken, Key, State, TokenState
from ramson.protocol import bt
from ramson.protocol.namespaces import MAX_NAMESPACE, MIN_NAMESPACE
from ramson.protocol.storage.kinds import is_hash
from ramson.protocol.storage.limits import ACCOUNT_SIZE, MAX_DATA, TOKEN_SIZE

VERSION_1: Final = b"\x01"
VERSION_2: Final = b"\x02"
MAX_ENTRIES: Final = 5_000
MAX_PROOFS: Final = 2_000
MAX_BATCH: Final = 4 * 1024 * 1024  # bytes; ours stay well below
V1_OVERHEAD: Final = 79  # estimated bytes of a message besides hash and data (swarms.md §5)
_ENTRY_OVERHEAD: Final = 200


class Entry(NamedTuple):
    """A copy in a batch; `proof` is a place in the batch's proofs, −1 for none."""

    key: Key
    state: State
    timestamp: int
    until: int
    proof: int
    data: bytes | None


class TokenEntry(NamedTuple):
    """A token in a batch."""

    account: bytes
    token: bytes
    state: TokenState
    proof: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one message of version `02` holds."""

    entries: tuple[Entry, ...] = ()
    proofs: tuple[bytes, ...] = field(default=(), repr=False)
    tokens: tuple[TokenEntry, ...] = ()

    def encode(self) -> bytes:
        """Return the message, version byte included."""
        entries = [
            [*entry.key, *entry.state, entry.timestamp, entry.until, entry.proof]
            + ([] if entry.data is None else [entry.data])
            for entry in self.entries
        ]
        tokens = [[token.account, token.token, *token.state, token.proof] for token in self.tokens]
        return VERSION_2 + bt.encode({"e": entries, "p": self.proofs, "t": tokens})


def decode(message: bytes) -> Batch:
    """Read a message of version `02`.  Raises ParseError."""
    if message[:1] != VERSION_2 or len(message) > MAX_BATCH:
        raise ParseError("batch: another version, or too long")
    match bt.decode(message[1:]):
        case {b"e": list(entries), b"p": list(proofs), b"t": list(tokens)} if (
            len(entries) <= MAX_ENTRIES and len(tokens) <= MAX_ENTRIES and len(proofs) <= MAX_PROOFS
        ):
            pass
        case _:
            raise ParseError("batch: not a dict of copies, proofs and tokens, or too many of them")
    bodies = tuple(proof for proof in proofs if isinstance(proof, bytes))
    if len(bodies) != len(proofs):
        raise ParseError("batch: a proof is no string")
    return Batch(
        tuple(_entry(item, len(bodies)) for item in entries),
        bodies,
        tuple(_token(item, len(bodies)) for item in tokens),
    )


def _entry(item: bt.Value, proofs: int) -> Entry:
    match item:
        case [
            bytes(account),
            int(namespace),
            bytes(text),
            int(birth),
            int(dead),
            int(version),
            int(expiry),
            int(timestamp),
            int(until),
            int(proof),
            *rest,
        ] if (
            len(account) == ACCOUNT_SIZE
            and MIN_NAMESPACE <= namespace <= MAX_NAMESPACE
            and min(birth, version, until) >= 0
            and _fit(birth, version, expiry, timestamp, until)
            and -1 <= proof < proofs
            and (dead == 0 or (dead == 1 and version == expiry == 0))
        ):
            name = text.decode("ascii", "replace")
            if not is_hash(name):
                raise ParseError("batch: not a hash")
        case _:
            raise ParseError("batch: not a copy")
    match rest:
        case []:
            data = None
        case [bytes(data)] if not dead and len(data) <= MAX_DATA:
            pass
        case _:
            raise ParseError("batch: not the data of a message")
    key = Key(account, namespace, name)
    return Entry(key, State(birth, bool(dead), version, expiry), timestamp, until, proof, data)


def _fit(*numbers: int) -> bool:
    """Tell whether the database can hold these; whether they make sense is another question."""
    return all(-(2**63) <= number < 2**63 for number in numbers)


def _token(item: bt.Value, proofs: int) -> TokenEntry:
    match item:
        case [bytes(account), bytes(token), int(stamp), int(revoked), int(proof)] if (
            len(account) == ACCOUNT_SIZE
            and len(token) == TOKEN_SIZE
            and _fit(stamp)
            and revoked in {0, 1}
            and 0 <= proof < proofs
        ):
            return TokenEntry(account, token, TokenState(stamp, bool(revoked)), proof)
    raise ParseError("batch: not a token")


class Builder:
    """Fills a batch; `size` estimates its bytes.  `load` returns proofs by their numbers."""

    def __init__(self, load: Callable[[Iterable[int]], dict[int, bytes]]) -> None:
        self._load = load
        self._entries: list[Entry] = []
        self._tokens: list[TokenEntry] = []
        self._proofs: list[bytes] = []
        self._places: dict[int | None, int] = {None: -1}
        self.size = 0

    @property
    def count(self) -> int:
        """How many copies and tokens are in it."""
        return len(self._entries) + len(self._tokens)

    @property
    def entries(self) -> Sequence[Entry]:
        """The copies in it."""
        return self._entries

    def add(self, held: Held, data: bytes | None = None) -> None:
        """Add a copy, with its data if it shall come whole."""
        place = self._place(held.proof)
        self._entries.append(Entry(held.key, held.state, held.timestamp, held.until, place, data))
        self.size += _ENTRY_OVERHEAD + len(data or b"")

    def add_token(self, held: HeldToken) -> None:
        """Add a token; one whose proof has gone meanwhile is left out."""
        place = self._place(held.proof)
        if place >= 0:
            self._tokens.append(TokenEntry(held.account, held.token, held.state, place))
            self.size += _ENTRY_OVERHEAD

    def batch(self) -> Batch:
        """Return what was added."""
        return Batch(tuple(self._entries), tuple(self._proofs), tuple(self._tokens))

    def _place(self, number: int | None) -> int:
        if number not in self._places:
            body = self._load([number] if number is not None else []).get(number or 0)
            self._places[number] = -1 if body is None else len(self._proofs)
            if body is not None:
                self._proofs.append(body)
                self.size += len(body) + 10
        return self._places[number]


class Receipt(NamedTuple):
    """The answer to a batch: copies that `changed` something, that are `foreign` to the receiver, places `wanted`."""

    changed: int
    foreign: int
    wanted: tuple[int, ...]

    def encode(self) -> bytes:
        """Return the data part of the answer."""
        return bt.encode({"n": self.changed, "o": self.foreign, "w": self.wanted})


def decode_receipt(part: bytes, entries: int) -> Receipt:
    """Read the answer to a batch of so many entries.  Raises ParseError."""
    match bt.decode(part):
        case {b"n": int(changed), b"o": int(foreign), b"w": list(wanted)}:
            places: list[Any] = wanted
            if all(isinstance(place, int) and 0 <= place < entries for place in places):
                return Receipt(changed, foreign, tuple(sorted(set(places))))
    raise ParseError("batch: not an answer to a batch")


def encode_v1(messages: Iterable[tuple[Held, bytes]]) -> bytes:
    """Return the message of version `01` with these messages."""
    return VERSION_1 + bt.encode(
        [[held.key.account, held.key.hash, held.timestamp, held.state.expiry, data] for held, data in messages]
    )
