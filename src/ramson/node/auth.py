"""Whether whoever signed a request may do what it asks.

The owner may do everything; a subaccount what its token allows, unless the token was revoked.  It decides and does
nothing else; refusals are worded by the methods' declarations.  Spec: storage-rpc.md §3, node/CORRECTIONS.md.

Theory of operation.  The owner's Ed25519 key is the account's own key, or for accounts of the prefix 05 the key beside
the signature, provided that it converts to the account's X25519 key.  With a subaccount the owner's key must have
signed the token, and the token's key the request.  Conversions and checks of token signatures depend on nothing but
their bytes and are expensive, so recent ones are remembered; request signatures never are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from ramson.crypto.keys import to_x25519_public, verify
from ramson.errors import ParseError
from ramson.node.outcome import Outcome
from ramson.protocol.namespaces import revoked_may_read
from ramson.protocol.storage import Access, AccountRequest, Retrieve, Side, Subaccount

OWNER: Final = Access.READ | Access.WRITE | Access.DELETE | Access.ANY_PREFIX
NOBODY: Final = Access(0)

_REMEMBERED: Final = 10_000

# Told whether an account (33 bytes) has revoked a token (36 bytes).
IsRevoked = Callable[[bytes, bytes], bool]


@lru_cache(_REMEMBERED)
def _is_converted(ed25519: bytes, x25519: bytes) -> bool:
    try:
        return to_x25519_public(ed25519) == x25519
    except ParseError:
        return False


_signed_token = lru_cache(_REMEMBERED)(verify)


def owner_key(account: bytes, ed25519: bytes | None, *, is_session_account: bool) -> bytes | None:
    """Return the Ed25519 key that signs for an account (33 bytes), or None when it is not known."""
    if not is_session_account:
        return account[1:]
    return ed25519 if ed25519 is not None and _is_converted(ed25519, account[1:]) else None


def token_rights(account: bytes, owner: bytes, subaccount: Subaccount) -> Access:
    """Return what a token allows for this account; nothing when it is for another prefix or not the owner's."""
    rights = Access(subaccount.flags & OWNER)
    if subaccount.prefix != account[0] and not rights & Access.ANY_PREFIX:
        return NOBODY
    return rights if _signed_token(owner, subaccount.token, subaccount.signature) else NOBODY


def rights(request: AccountRequest, needed: Access, is_revoked: IsRevoked) -> Access:
    """Return what the signer of a request may do; nothing when it may not do all that is `needed`."""
    credentials = request.credentials
    if credentials is None:
        return NOBODY
    owner = owner_key(request.account, credentials.ed25519, is_session_account=request.is_session_account)
    if owner is None:
        return NOBODY
    key, allowed = owner, OWNER
    if (subaccount := credentials.subaccount) is not None:
        allowed = token_rights(request.account, owner, subaccount)
        if allowed & needed != needed:
            return NOBODY
        if not (isinstance(request, Retrieve) and revoked_may_read(request.namespace)) and is_revoked(
            request.account, subaccount.token
        ):
            return NOBODY
        key = subaccount.key
    return allowed if verify(key, request.signed_message(), credentials.signature) else NOBODY


def time_refusal(request: AccountRequest, now: int, *, forwarded: bool) -> Outcome | None:
    """Return the refusal of a request whose signed time is too far from `now` (ms), or None."""
    rule = request.method.time
    if rule is None:
        return None
    tolerance = rule.forwarded if forwarded else rule.tolerance
    given = getattr(request, rule.attr)
    times = given if isinstance(given, tuple) else (given,)
    early = rule.side is not Side.NOT_AFTER and min(times) < now - tolerance
    late = rule.side is not Side.NOT_BEFORE and max(times) > now + tolerance
    return Outcome.text(rule.status, rule.refusal) if early or late else None
