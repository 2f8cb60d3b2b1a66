"""A ticket: what makes one request to a web site a bridge's, and gives the keys it is sealed with.

Pure: the time and the nonce are handed in.  No paragraph of Session's protocol: the bridge is ramson's own.

Theory of operation.  A request to a bridge is a POST to a path whose last part is a ticket:

    ticket = base64url(nonce ‖ tag)     43 letters
    nonce    16 random bytes
    tag      16 bytes of BLAKE2b over slot ‖ nonce under the bridge's secret
    slot     Unix time / 10 minutes

Who does not know the secret cannot make one, and gets what the site says to any path it does not have.  Who sees one
afterwards, as a CDN's log does, cannot use it again: the bridge takes a nonce once, and remembers it for as long as its
slot is good, the present one and its two neighbours.  So a path tells a bridge from the rest of the site only
once, and the bridge knows from the request's first lines, before a byte of its body, whether it is meant.

The nonce also gives the two keys with which this one request and its reply are sealed; nothing else ever is.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final

from ramson.crypto.aead import TAG_SIZE, open_once, seal_once
from ramson.crypto.hashing import blake2b
from ramson.protocol.bridge.sizes import pad, unpad

SECRET_SIZE: Final = 32
NONCE_SIZE: Final = 16
SLOT_MS: Final = 600_000
SLOTS_KEPT: Final = 3  # the slots whose tickets are good at one time: before, now, after

_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")  # 32 bytes in the one way to write them
_TAG: Final = b"ramson bridge t1"
_KEYS: Final = b"ramson bridge k1"


def slot_at(now_ms: int) -> int:
    """Return the slot of a moment."""
    return now_ms // SLOT_MS


@dataclass(frozen=True, slots=True)
class Ticket:
    """One permission to ask a bridge something."""

    nonce: bytes
    slot: int
    _secret: bytes = field(repr=False)

    @classmethod
    def make(cls, secret: bytes, *, now_ms: int, nonce: bytes) -> Ticket:
        """Make a ticket for now.  `nonce` is 16 random bytes, never used before."""
        return cls(nonce, slot_at(now_ms), secret)

    def __str__(self) -> str:
        """Write the ticket as the last part of a path."""
        return urlsafe_b64encode(self.nonce + self._tag).rstrip(b"=").decode()

    @property
    def _tag(self) -> bytes:
        return blake2b(self.slot.to_bytes(8, "big") + self.nonce, size=16, key=self._secret, person=_TAG)

    @property
    def _keys(self) -> bytes:
        return blake2b(self.nonce, size=64, key=self._secret, person=_KEYS)

    def seal_request(self, message: bytes) -> bytes:
        """Return the body of the request, of a size in `CLASSES`.  Raises TooLong."""
        return seal_once(self._keys[:32], pad(message, TAG_SIZE), associated=b"request")

    def open_request(self, body: bytes) -> bytes:
        """Return what was sealed into a request.  Raises ParseError."""
        return unpad(open_once(self._keys[:32], body, associated=b"request"))

    def seal_reply(self, message: bytes) -> bytes:
        """Return the body of the reply, of a size in `CLASSES`.  Raises TooLong."""
        return seal_once(self._keys[32:], pad(message, TAG_SIZE), associated=b"reply")

    def open_reply(self, body: bytes) -> bytes:
        """Return what was sealed into a reply.  Raises ParseError."""
        return unpad(open_once(self._keys[32:], body, associated=b"reply"))


def find(text: str, secrets: tuple[bytes, ...], *, now_ms: int) -> tuple[int, Ticket] | None:
    """Return the ticket that `text` is now and the number of its secret, or None.

    All secrets and slots are tried, whatever is found, so that the time this takes tells nothing.
    """
    if not _SHAPE.fullmatch(text):
        return None
    raw = urlsafe_b64decode(text + "=")
    found = None
    for number, ticket in _candidates(raw[:NONCE_SIZE], secrets, slot_at(now_ms)):
        if compare_digest(ticket._tag, raw[NONCE_SIZE:]):  # noqa: SLF001 - of this module
            found = (number, ticket)
    return found


def _candidates(nonce: bytes, secrets: tuple[bytes, ...], now: int) -> Iterator[tuple[int, Ticket]]:
    for number, secret in enumerate(secrets):
        for slot in range(max(0, now - 1), now + 2):
            yield number, Ticket(nonce, slot, secret)
