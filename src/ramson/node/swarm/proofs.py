"""Signed requests as proofs: by what a node believes another that messages were deleted, lowered, or tokens revoked.

A member that is told so by another member has only its word, and a lie would destroy good copies.  So the request
that the account signed is kept beside what it did, without a message's data, and goes along.  Here it is written, read
and checked again; only the rule that its time is near is left out.  Spec: storage-rpc.md §3; ours for the rest.

What a proof allows is what a node would have done when the request was made.  Where the signed words leave room
(`delete` names no time, a namespace's request no messages), a message's own timestamp has to be early enough: a node
stores none that is more than 10 s ahead, and takes requests up to 70 s off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ramson.errors import ParseError
from ramson.node.auth import IsRevoked, rights
from ramson.node.mailbox import Key, TokenState, Warrant
from ramson.protocol import bt, storage
from ramson.protocol.namespaces import is_public_outbox
from ramson.protocol.storage import Access, AccountRequest, BadRequest, Encoding
from ramson.protocol.storage.limits import FORWARDED_TOLERANCE_MS, STORE_TOLERANCE_MS

MAX_PROOF: Final = 256 * 1024  # bytes; what a longer request did is not handed on
AHEAD_MS: Final = FORWARDED_TOLERANCE_MS + STORE_TOLERANCE_MS
# How far the stamp of a token may be ahead of the signed time: both tolerances, and some for stamps that were taken.
STAMP_SLACK_MS: Final = 2 * FORWARDED_TOLERANCE_MS + 10_000
FOREVER: Final = 2**63 - 1

_METHODS: Final = frozenset(
    kind.method.name
    for kind in (
        storage.Store,
        storage.Delete,
        storage.DeleteAll,
        storage.DeleteBefore,
        storage.ExpireAll,
        storage.Expire,
        storage.RevokeSubaccount,
        storage.UnrevokeSubaccount,
    )
)


def write(request: AccountRequest) -> bytes | None:
    """Return a request as a proof; None when it is not signed or too long."""
    if request.credentials is None:
        return None
    if isinstance(request, storage.Store):
        request = msgspec.structs.replace(request, data=b"")
    body = bt.encode([request.method.name, request.to_bt()])
    return body if len(body) <= MAX_PROOF else None


def read(body: bytes) -> AccountRequest:
    """Return the request that `write` wrote.  Raises ParseError."""
    if len(body) > MAX_PROOF:
        raise ParseError("proof: too long")
    match bt.decode(body):
        case [bytes(name), dict(params)] if (method := name.decode("ascii", "replace")) in _METHODS:
            pass
        case _:
            raise ParseError("proof: not a request that deletes, lowers or revokes")
    try:
        request = storage.parse(method, params, Encoding.BT, testnet=False)
    except BadRequest as refusal:
        raise ParseError(f"proof: {refusal.text}") from None
    assert isinstance(request, AccountRequest)  # noqa: S101 - all of these are
    return request


def verify(body: bytes, is_revoked: IsRevoked) -> Proof | None:
    """Return a proof whose signature is right and whose signer may do this; None for any other.

    What a token signed that has been revoked since is not believed: a copy is rather kept too long than lost.
    """
    try:
        request = read(body)
    except ParseError:
        return None
    needed = request.method.access or Access(0)
    if isinstance(request, storage.Store):
        if not is_public_outbox(request.namespace):
            return None
        needed = Access.WRITE | Access.DELETE
    allowed = rights(request, needed, is_revoked)
    return Proof(body, request, allowed) if allowed else None


class Proof:
    """A request whose signature was verified, and what its signer may do."""

    def __init__(self, body: bytes, request: AccountRequest, allowed: Access) -> None:
        self.body = body
        self.request = request
        self._floors = _floors(request, allowed)

    def warrant(self, key: Key) -> Warrant | None:
        """Return what this allows with a message."""
        request = self.request
        if key.account != request.account:
            return None
        match request:
            case storage.Delete() | storage.Expire():
                floor = self._floors.get(key.hash)
                return None if floor is None else Warrant(floor, FOREVER)
            case storage.DeleteAll() if request.namespace in {None, key.namespace}:
                return Warrant(0, request.timestamp + AHEAD_MS)
            case storage.DeleteBefore() if request.namespace in {None, key.namespace}:
                return Warrant(0, request.before)
            case storage.ExpireAll() if request.namespace in {None, key.namespace}:
                return Warrant(request.expiry, request.expiry + AHEAD_MS)
            case storage.Store() if request.namespace == key.namespace:
                # What was signed does not say which message replaces the others; it is not older than the signature.
                return Warrant(0, request.signed_at - 1)
        return None

    def revokes(self, account: bytes, token: bytes, state: TokenState) -> bool:
        """Tell whether this is how a token came to its state."""
        request = self.request
        kind = storage.RevokeSubaccount if state.revoked else storage.UnrevokeSubaccount
        return (
            isinstance(request, kind)
            and request.account == account
            and token in request.tokens
            and request.timestamp <= state.stamp <= request.timestamp + STAMP_SLACK_MS
        )


def _floors(request: AccountRequest, allowed: Access) -> Mapping[str, int]:
    """Return the expiries, by hash, to which messages may be lowered; 0 to delete them."""
    match request:
        case storage.Delete():
            return dict.fromkeys(request.messages, 0)
        case storage.Expire() if not request.extend and allowed & Access.DELETE:
            expiries = request.expiry * (len(request.messages) if len(request.expiry) == 1 else 1)
            floors: dict[str, int] = {}
            for text, expiry in zip(request.messages, expiries, strict=True):
                floors[text] = min(expiry, floors.get(text, expiry))
            return floors
    return {}
