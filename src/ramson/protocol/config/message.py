"""One config message: the whole data, what its author changed, and what was changed shortly before.

Frozen values and their codec; signatures of group configs.  Spec: config-sync.md §4.2.

Theory of operation.  A message is a bencoded dict:

    #   seqno: one more than that of the message (or the highest of those) it was made from
    &   all the data
    <   for the seqnos before, as far as the lag reaches: [seqno, hash, diff], ascending
    =   the diff from its base
    ~   signature of everything before it (group configs), always last

Its hash is BLAKE2b-32 of all that.  A message *includes* each one it names under `<`: nothing of theirs is
lost when only it is kept.  Keys a future version may add are kept as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ramson.crypto.hashing import blake2b
from ramson.crypto.keys import SIGNATURE_SIZE, Ed25519KeyPair, verify
from ramson.errors import ParseError
from ramson.protocol import bt
from ramson.protocol.config import diff as diffs
from ramson.protocol.config.diff import Diff
from ramson.protocol.config.values import EMPTY, Data, parse_data, to_bt

# How far back `<` reaches: to the seqnos within LAG of the message's own.
LAG: Final = 5
HASH_SIZE: Final = 32
MAX_SIZE: Final = 1_000_000  # bytes of one serialized message
MAX_SEQNO: Final = 2**63 - 1

_SEQNO, _DATA, _LAGGED, _DIFF, _SIGNATURE = b"#", b"&", b"<", b"=", b"~"
_KNOWN = frozenset({_SEQNO, _DATA, _LAGGED, _DIFF, _SIGNATURE})
_SIGNATURE_PREFIX = b"1:~%d:" % SIGNATURE_SIZE

# Names one message: by seqno, then by hash, messages are ordered.
Id: TypeAlias = tuple[int, bytes]
Lagged: TypeAlias = "Mapping[Id, Diff]"
Unknown: TypeAlias = "Mapping[bytes, bt.Value]"


@dataclass(frozen=True, slots=True)
class ConfigMessage:
    """A message as it is serialized; equal messages have equal bytes."""

    serialized: bytes = field(repr=False)
    hash: bytes
    seqno: int
    data: Data = field(repr=False, compare=False)
    lagged: Lagged = field(repr=False, compare=False)
    diff: Diff = field(repr=False, compare=False)
    unknown: Unknown = field(repr=False, compare=False)
    signature: bytes | None = field(repr=False, compare=False)

    @property
    def id(self) -> Id:
        """Seqno and hash."""
        return self.seqno, self.hash

    def history(self) -> Lagged:
        """Return the diffs this message includes and its own."""
        return {**self.lagged, self.id: self.diff}

    def verify(self, public: bytes) -> bool:
        """Tell whether the message is signed by the 32-byte Ed25519 key `public`."""
        if self.signature is None:
            return False
        signed = self.serialized[: -len(_SIGNATURE_PREFIX) - SIGNATURE_SIZE - 1]
        return verify(public, signed, self.signature)


def write(
    seqno: int,
    data: Data,
    diff: Diff,
    lagged: Lagged,
    *,
    unknown: Unknown = EMPTY,  # type: ignore[assignment]  # an empty mapping of either kind
    signer: Ed25519KeyPair | None = None,
) -> ConfigMessage:
    """Make a message, signed if there is a `signer`."""
    fields: dict[bytes, bt.Value] = {
        **unknown,
        _SEQNO: seqno,
        _DATA: to_bt(data),
        _LAGGED: [[number, name, diffs.to_bt(change)] for (number, name), change in sorted(lagged.items(), key=_id)],
        _DIFF: diffs.to_bt(diff),
    }
    serialized = bt.encode(fields)
    signature = None
    if signer is not None:
        signature = signer.sign(serialized[:-1])
        serialized = serialized[:-1] + _SIGNATURE_PREFIX + signature + b"e"
    return ConfigMessage(serialized, blake2b(serialized), seqno, data, lagged, diff, unknown, signature)


def read(serialized: bytes, *, max_size: int = MAX_SIZE) -> ConfigMessage:
    """Parse a message.  A signature is not checked: see `ConfigMessage.verify`.  Raises ParseError."""
    if len(serialized) > max_size:
        raise ParseError("config: the message is too large")
    fields = bt.decode(serialized)
    if not isinstance(fields, dict):
        raise ParseError("config: the message is not a dict")
    if not fields.keys() >= _KNOWN - {_SIGNATURE}:
        raise ParseError("config: the message lacks a field")
    seqno = fields[_SEQNO]
    if not isinstance(seqno, int) or not 0 <= seqno <= MAX_SEQNO:
        raise ParseError("config: the seqno is not a number from 0 to 2⁶³−1")
    signature = fields.get(_SIGNATURE)
    if signature is not None and (not isinstance(signature, bytes) or len(signature) != SIGNATURE_SIZE):
        raise ParseError(f"config: a signature has {SIGNATURE_SIZE} bytes")
    if max(fields) > _SIGNATURE:
        raise ParseError("config: a field after the signature")
    return ConfigMessage(
        serialized=serialized,
        hash=blake2b(serialized),
        seqno=seqno,
        data=parse_data(fields[_DATA]),
        lagged=_read_lagged(fields[_LAGGED], seqno),
        diff=diffs.parse(fields[_DIFF]),
        unknown={key: value for key, value in fields.items() if key not in _KNOWN},
        signature=signature,
    )


def _read_lagged(entries: bt.Value, seqno: int) -> Lagged:
    if not isinstance(entries, list):
        raise ParseError("config: the earlier diffs are not a list")
    lagged: dict[Id, Diff] = {}
    last: Id = (-1, b"")
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != 3:
            raise ParseError("config: an earlier diff is not seqno, hash and diff")
        number, name, diff = entry
        if not isinstance(number, int) or not isinstance(name, bytes) or len(name) != HASH_SIZE:
            raise ParseError("config: an earlier diff has no seqno or hash")
        if not last < (number, name) or number >= seqno:
            raise ParseError("config: the earlier diffs are not in order")
        last = number, name
        lagged[last] = diffs.parse(diff)
    return lagged


def _id(entry: tuple[Id, Diff]) -> Id:
    return entry[0]


FIRST: Final = write(0, EMPTY, diffs.NOTHING, {})
