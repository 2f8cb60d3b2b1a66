"""Signed node lists: the nodes of a network at one moment, in a form that any channel may carry.

Whoever has such a list needs no seed to start, and whoever brings it cannot change it: it counts by the signatures
of people whose keys the client knows, not by the way it came.  Values only; which of several lists to believe is
`ramson.network.judge`'s business, the forms for messages, QR codes and DNS are in `node_list_text`.
Spec: REACH *Finding nodes without the seeds*; the layout is ours, and described for others in docs/node-lists.md.

Theory of operation.  What is signed is the *statement*, one bt-encoded dict of which there is exactly one spelling:

    h  height of the chain            i, 0 … 2^63-1
    n  name of the network            1 … 64 of a-z 0-9 . -
    p  1 if this is a part of the network, as a starter list is; 0 if it is meant to be all of it
    r  the nodes, in ascending order of their Ed25519 keys, column by column:
       keys (32 bytes each) ‖ IPv4 addresses (4) ‖ HTTPS ports (2, big-endian) ‖ OxenMQ ports (2)
    s  soft expiry: from then on the list is used only as long as there is nothing newer; Unix ms
    t  time it was made, Unix ms
    v  1
    x  hard expiry: from then on the list is refused; Unix ms

A signature is Ed25519 over `ramson node list v1` ‖ 0x00 ‖ statement.  On the way the statement is compressed, because
ports are alike, and the signatures stand beside it in ascending order of keys, each key once:

    RNL1 ‖ d 1:l <zstd frame of the statement> 1:s <(key ‖ signature)*> e

X25519 keys are not in it: they are the Ed25519 keys converted (onion.md).  Nor are swarms: clients ask for them.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import zstandard

from ramson.crypto.hashing import blake2b
from ramson.crypto.keys import KEY_SIZE, SIGNATURE_SIZE, Ed25519KeyPair, to_x25519_public, verify
from ramson.errors import LocalError, ParseError
from ramson.protocol import bt
from ramson.protocol.nodes import NO_ADDRESS, NodeRecord
from ramson.protocol.swarms import UNASSIGNED

MAGIC: Final = b"RNL1"
DOMAIN: Final = b"ramson node list v1\0"
VERSION: Final = 1

DAY_MS: Final = 24 * 3600 * 1000
SOFT_MS: Final = 30 * DAY_MS
HARD_MS: Final = 180 * DAY_MS  # a list that claims to last longer is refused
BLOCK_MS: Final = 120_000  # between two blocks of the chain

RECORD_SIZE: Final = KEY_SIZE + 4 + 2 + 2  # bytes
MAX_NODES: Final = 20_000
MAX_SIGNATURES: Final = 32
MAX_STATEMENT: Final = MAX_NODES * RECORD_SIZE + 512  # bytes
MAX_SIZE: Final = MAX_STATEMENT + MAX_SIGNATURES * (KEY_SIZE + SIGNATURE_SIZE) + 4096  # bytes, of a list as it travels
STARTER_NODES: Final = 30

_ZSTD_LEVEL: Final = 19
_MAX_WINDOW: Final = 8 * 1024 * 1024
_NETWORK = re.compile(r"[a-z0-9.-]{1,64}")
_FIELDS: Final = frozenset({b"h", b"n", b"p", b"r", b"s", b"t", b"v", b"x"})
_SIGNED_KEY: Final = KEY_SIZE + SIGNATURE_SIZE


class BadList(LocalError):
    """These nodes or these times make no list."""


@dataclass(frozen=True)
class Statement:
    """What a list says.  `nodes` are in ascending order of their keys; times are Unix ms.  Made by `state`."""

    network: str
    height: int
    time_ms: int
    soft_expiry_ms: int
    hard_expiry_ms: int
    part: bool
    nodes: tuple[NodeRecord, ...] = field(repr=False)

    @cached_property
    def canonical(self) -> bytes:
        """The one spelling of it: what is signed."""
        return bt.encode(
            {
                "h": self.height,
                "n": self.network,
                "p": self.part,
                "r": _pack(self.nodes),
                "s": self.soft_expiry_ms,
                "t": self.time_ms,
                "v": VERSION,
                "x": self.hard_expiry_ms,
            }
        )

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that name it: what people on two machines compare."""
        return blake2b(self.canonical)


@dataclass(frozen=True)
class SignedNodeList:
    """A statement and the signatures that came with it: key to signature, valid or not (see `ListAuthority`)."""

    statement: Statement
    signatures: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)

    def signed_by(self, signer: Ed25519KeyPair) -> SignedNodeList:
        """Return the list with one more signature.  Raises BadList when it has as many as a list may carry."""
        signature = signer.sign(DOMAIN + self.statement.canonical)
        signatures = {**self.signatures, signer.public: signature}
        if len(signatures) > MAX_SIGNATURES:
            raise BadList(f"a list carries at most {MAX_SIGNATURES} signatures")
        return replace(self, signatures=signatures)

    def is_signed_by(self, key: bytes) -> bool:
        """Whether there is a good signature by this Ed25519 key."""
        return verify(key, DOMAIN + self.statement.canonical, self.signatures.get(key, b""))


@dataclass(frozen=True, slots=True)
class ListAuthority:
    """Who speaks for a network: `needed` of `keys` (Ed25519) have to sign.  Without keys, nobody does."""

    network: str
    keys: frozenset[bytes] = frozenset()
    needed: int = 0

    def __post_init__(self) -> None:
        if not _NETWORK.fullmatch(self.network):
            raise BadList("the name of a network is 1 to 64 of a-z, 0-9, '.' and '-'")
        if any(len(key) != KEY_SIZE for key in self.keys):
            raise BadList(f"a signer's key has {KEY_SIZE} bytes")
        if not (1 <= self.needed <= len(self.keys) or (self.needed == 0 and not self.keys)):
            raise BadList("the signatures needed are at least one and at most as many as there are signers")

    def signers(self, signed: SignedNodeList) -> frozenset[bytes]:
        """Return the known keys whose signatures are good; unknown keys do not count, and no key counts twice."""
        return frozenset(key for key in self.keys & signed.signatures.keys() if signed.is_signed_by(key))

    def trusts(self, signed: SignedNodeList) -> bool:
        """Whether enough of the known signers signed a list of this network."""
        return signed.statement.network == self.network and self.needed > 0 and len(self.signers(signed)) >= self.needed


def listable(node: NodeRecord) -> bool:
    """Whether a list can hold the node: it has an address, and its X25519 key is its Ed25519 key converted."""
    try:
        return node.contactable and to_x25519_public(node.ed25519) == node.x25519
    except ParseError:
        return False


def state(
    network: str,
    nodes: Iterable[NodeRecord],
    *,
    height: int,
    time_ms: int,
    part: bool = False,
    soft_ms: int = SOFT_MS,
    hard_ms: int = HARD_MS,
) -> Statement:
    """Make a statement of the nodes that have an address and mean to stay until its soft expiry.

    Raises BadList for a network name, time or node that no list can hold.
    """
    stay_until = height + soft_ms // BLOCK_MS
    listed = {
        node.ed25519: node
        for node in nodes
        if node.contactable and (not node.requested_unlock_height or node.requested_unlock_height > stay_until)
    }
    try:
        return _checked(
            Statement(
                network=network,
                height=height,
                time_ms=time_ms,
                soft_expiry_ms=time_ms + soft_ms,
                hard_expiry_ms=time_ms + hard_ms,
                part=part,
                nodes=tuple(_bare(listed[key]) for key in sorted(listed)),
            )
        )
    except ParseError as error:
        raise BadList(str(error)) from None


def _bare(node: NodeRecord) -> NodeRecord:
    """Return the record with only what a list carries.  Raises BadList for keys that do not belong together."""
    if not listable(node):
        raise BadList("the X25519 key of a node is not its Ed25519 key converted")
    return NodeRecord(node.ed25519, node.x25519, b"", node.ip, node.https_port, node.omq_port, UNASSIGNED)


def _checked(statement: Statement) -> Statement:
    """Return the statement if it keeps the rules.  Raises ParseError."""
    made, soft, hard = statement.time_ms, statement.soft_expiry_ms, statement.hard_expiry_ms
    if not _NETWORK.fullmatch(statement.network):
        raise ParseError("node list: the name of the network is not 1 to 64 of a-z, 0-9, '.' and '-'")
    if not 0 <= statement.height < 2**63:
        raise ParseError("node list: the height is out of range")
    if not 0 <= made <= soft <= hard <= made + HARD_MS < 2**63:
        raise ParseError("node list: its times are out of order, or it is to last longer than 180 days")
    if not 1 <= len(statement.nodes) <= MAX_NODES:
        raise ParseError(f"node list: it holds no nodes, or more than {MAX_NODES}")
    return statement


def encode(signed: SignedNodeList) -> bytes:
    """Write a list as it travels."""
    frame = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(signed.statement.canonical)
    signatures = b"".join(key + signed.signatures[key] for key in sorted(signed.signatures))
    return MAGIC + bt.encode({"l": frame, "s": signatures})


def decode(data: bytes) -> SignedNodeList:
    """Read a list; nothing is verified yet.

    Raises ParseError for anything that `encode` would not write: what is too large, cut short, unsorted, twice
    there, unknown or left over.
    """
    if len(data) > MAX_SIZE:
        raise ParseError("node list: too large")
    if not data.startswith(MAGIC):
        raise ParseError("node list: this is none, or of a kind not known here")
    document = bt.decode(data[len(MAGIC) :], max_depth=1)
    if not isinstance(document, dict) or document.keys() != {b"l", b"s"}:
        raise ParseError("node list: it needs a statement and signatures, and nothing else")
    frame, signatures = document[b"l"], document[b"s"]
    if not isinstance(frame, bytes) or not isinstance(signatures, bytes):
        raise ParseError("node list: the statement or the signatures are no strings")
    return SignedNodeList(_statement(_decompress(frame)), _signatures(signatures))


def _decompress(frame: bytes) -> bytes:
    try:
        # The frame has to announce a size, so that what it unpacks to is bounded before any of it is unpacked.
        if not 0 <= zstandard.frame_content_size(frame) <= MAX_STATEMENT:
            raise ParseError("node list: it unpacks to too much, or does not say to how much")
        return zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompress(
            frame, max_output_size=MAX_STATEMENT, allow_extra_data=False
        )
    except zstandard.ZstdError:
        raise ParseError("node list: the statement cannot be unpacked") from None


def _signatures(packed: bytes) -> dict[bytes, bytes]:
    if len(packed) % _SIGNED_KEY or len(packed) > MAX_SIGNATURES * _SIGNED_KEY:
        raise ParseError("node list: the signatures are cut short or too many")
    entries = [packed[i : i + _SIGNED_KEY] for i in range(0, len(packed), _SIGNED_KEY)]
    keys = [entry[:KEY_SIZE] for entry in entries]
    _ascending(keys, "signatures")
    return {key: entry[KEY_SIZE:] for key, entry in zip(keys, entries, strict=True)}


def _statement(data: bytes) -> Statement:
    document = bt.decode(data, max_depth=1)
    if not isinstance(document, dict) or document.keys() != _FIELDS:
        raise ParseError("node list: a field is missing or unknown")
    if document[b"v"] != VERSION or document[b"p"] not in (0, 1):
        raise ParseError("node list: of a version not known here, or neither a whole nor a part")
    network, packed = document[b"n"], document[b"r"]
    if not isinstance(network, bytes) or not isinstance(packed, bytes) or not network.isascii():
        raise ParseError("node list: the name of the network or the nodes are no strings")
    return _checked(
        Statement(
            network=network.decode(),
            height=_integer(document[b"h"]),
            time_ms=_integer(document[b"t"]),
            soft_expiry_ms=_integer(document[b"s"]),
            hard_expiry_ms=_integer(document[b"x"]),
            part=document[b"p"] == 1,
            nodes=_unpack(packed),
        )
    )


def _integer(value: bt.Value) -> int:
    if not isinstance(value, int):
        raise ParseError("node list: a number is no number")
    return value


def _pack(nodes: Sequence[NodeRecord]) -> bytes:
    return b"".join(
        [
            *(node.ed25519 for node in nodes),
            *(ipaddress.IPv4Address(node.ip).packed for node in nodes),
            *(node.https_port.to_bytes(2) for node in nodes),
            *(node.omq_port.to_bytes(2) for node in nodes),
        ]
    )


def _unpack(packed: bytes) -> tuple[NodeRecord, ...]:
    count, left_over = divmod(len(packed), RECORD_SIZE)
    if left_over or not 1 <= count <= MAX_NODES:
        raise ParseError("node list: the nodes are cut short, none or too many")

    def column(start: int, width: int) -> list[bytes]:
        return [packed[start * count + i * width : start * count + (i + 1) * width] for i in range(count)]

    keys = column(0, KEY_SIZE)
    _ascending(keys, "nodes")
    nodes = tuple(
        NodeRecord(
            ed25519=key,
            x25519=to_x25519_public(key),
            legacy=b"",
            ip=str(ipaddress.IPv4Address(ip)),
            https_port=int.from_bytes(https),
            omq_port=int.from_bytes(omq),
            swarm_id=UNASSIGNED,
        )
        for key, ip, https, omq in zip(keys, column(32, 4), column(36, 2), column(38, 2), strict=True)
    )
    if any(node.ip == NO_ADDRESS or not node.contactable for node in nodes):
        raise ParseError("node list: a node without an address")
    return nodes


def _ascending(keys: Sequence[bytes], what: str) -> None:
    if any(first >= second for first, second in itertools.pairwise(keys)):
        raise ParseError(f"node list: {what} are not in ascending order, or there twice")
