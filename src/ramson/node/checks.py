"""Whether a request about an account may be carried out here: the checks before anything is done.

Their order is part of the protocol: swarm, then (store) lifetime and clock, then signed time, then signature.
Nothing is changed and nothing awaited.  Spec: storage-rpc.md §3–4, node/CORRECTIONS.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from ramson.node.auth import IsRevoked, rights, time_refusal
from ramson.node.outcome import Outcome
from ramson.protocol.namespaces import anyone_may_read, anyone_may_store, is_public_outbox, max_ttl_ms
from ramson.protocol.storage import Access, AccountRequest, Expire, Retrieve, Store
from ramson.protocol.storage.limits import MIN_TTL_MS, STORE_TOLERANCE_MS

EXPIRY_LISTS_HARDFORK: Final = (19, 4)

_LIFETIME: Final = Outcome.text(403, "Provided expiry/TTL is not valid.")
_CLOCK: Final = Outcome.text(406, "Timestamp error: check your clock")
_UNSIGNED_RETRIEVE: Final = Outcome.text(401, "retrieve: request signature required")
_NO_LISTS: Final = Outcome.text(403, "expire: a list of expiries requires hardfork 19.4")
_NO_SHORTENING: Final = Outcome.text(400, "expire: shorten requires a subaccount token with the Delete permission")


class Checks:
    """The checks of one node.  `is_revoked` asks its mailbox; `hardfork` is the network's at this moment."""

    def __init__(self, is_revoked: IsRevoked, hardfork: Callable[[], tuple[int, int]]) -> None:
        self._is_revoked = is_revoked
        self._hardfork = hardfork

    def admit(self, request: AccountRequest, now: int, *, forwarded: bool) -> AccountRequest | Outcome:
        """Return the request as it is to be carried out, or its refusal.

        `now` is the node's time in ms.  The result differs from `request` only where the signer's rights narrow it.
        """
        match request:
            case Store():
                return self._store(request, now, forwarded=forwarded)
            case Retrieve():
                return self._retrieve(request, now)
            case Expire():
                return self._expire(request, now, forwarded=forwarded)
            case _:
                # No token may revoke tokens: such requests are parsed without subaccounts.
                needed = request.method.access or Access(0)
                return self._signed(request, needed, now, forwarded=forwarded) or request

    def _signed(self, request: AccountRequest, needed: Access, now: int, *, forwarded: bool) -> Outcome | None:
        refusal = time_refusal(request, now, forwarded=forwarded)
        if refusal is None and not rights(request, needed, self._is_revoked):
            return Outcome.text(401, request.method.signature_refusal)
        return refusal

    def _store(self, request: Store, now: int, *, forwarded: bool) -> Store | Outcome:
        if not MIN_TTL_MS <= request.ttl <= max_ttl_ms(request.namespace):
            return _LIFETIME
        if request.timestamp > now + STORE_TOLERANCE_MS or request.expiry < now - STORE_TOLERANCE_MS:
            return _CLOCK
        if anyone_may_store(request.namespace):
            return request
        if request.credentials is None:
            return Outcome.text(401, f"store: signature required to store to namespace {request.namespace}")
        replaces = is_public_outbox(request.namespace)
        needed = Access.WRITE | Access.DELETE if replaces else Access.WRITE
        return self._signed(request, needed, now, forwarded=forwarded) or request

    def _retrieve(self, request: Retrieve, now: int) -> Retrieve | Outcome:
        if request.credentials is None:
            return request if anyone_may_read(request.namespace) else _UNSIGNED_RETRIEVE
        return self._signed(request, Access.READ, now, forwarded=False) or request

    def _expire(self, request: Expire, now: int, *, forwarded: bool) -> Expire | Outcome:
        if len(request.expiry) > 1 and self._hardfork() < EXPIRY_LISTS_HARDFORK:
            return _NO_LISTS
        refusal = time_refusal(request, now, forwarded=forwarded)
        if refusal is not None:
            return refusal
        allowed = rights(request, Access.WRITE, self._is_revoked)
        if not allowed:
            return Outcome.text(401, request.method.signature_refusal)
        if allowed & Access.DELETE:
            return request
        return _NO_SHORTENING if request.shorten else msgspec.structs.replace(request, extend=True)
