"""How a swarm member shows another that it holds a message, without sending it.

Pure values: a challenge names a message and carries a nonce, and its answer is a hash over nonce, both members' keys
and the message's data.  Because the keys are in it, a member that lacks the message cannot have another one answer
for it: that one's answer would be for another pair.  Because the nonce is, nothing can be computed beforehand.

Sent over `sn.storage_test` as one part, where the reference server's tests have two: a node that knows only those
answers `invalid parameters`.  This is a format of ramson's own, for its own nodes (no spec describes it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ramson.crypto.hashing import blake2b
from ramson.errors import ParseError
from ramson.protocol import bt
from ramson.protocol.namespaces import MAX_NAMESPACE, MIN_NAMESPACE

NONCE_SIZE: Final = 32
PROOF_SIZE: Final = 32
ACCOUNT_SIZE: Final = 33
MAX_CHALLENGE: Final = 256  # bytes of a challenge as sent
_PERSON: Final = b"ramson.holds.v01"


@dataclass(frozen=True, slots=True)
class Challenge:
    """A question for one message: `account` has 33 bytes, `hash` 43 characters, `nonce` 32 bytes."""

    account: bytes
    namespace: int
    hash: str
    nonce: bytes

    def encode(self) -> bytes:
        """Write the challenge."""
        return bt.encode({"#": self.nonce, "@": self.account, "h": self.hash, "n": self.namespace})

    @classmethod
    def decode(cls, data: bytes) -> Challenge:
        """Read a challenge.  Raises ParseError."""
        if len(data) > MAX_CHALLENGE:
            raise ParseError("storage challenge: too long")
        match bt.decode(data):
            case {b"#": bytes(nonce), b"@": bytes(account), b"h": bytes(text), b"n": int(namespace)} if (
                len(nonce) == NONCE_SIZE
                and len(account) == ACCOUNT_SIZE
                and len(text) == 43
                and text.isascii()
                and MIN_NAMESPACE <= namespace <= MAX_NAMESPACE
            ):
                return cls(account, namespace, text.decode(), nonce)
        raise ParseError("storage challenge: not a challenge")

    def proof(self, tester: bytes, tested: bytes, data: bytes) -> bytes:
        """Return what a member that has `data` answers; the members are known by their X25519 keys."""
        return blake2b(self.nonce + tester + tested + data, size=PROOF_SIZE, person=_PERSON)
