"""Signing requests: by the account itself, or by a subaccount it gave a token to.

Secrets come in as key pairs or as a function that signs, and are not kept.  Spec: storage-rpc.md §3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from ramson.crypto.account import AccountKeys
from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import LocalError
from ramson.protocol.storage.limits import TOKEN_SIZE
from ramson.protocol.storage.requests import AccountRequest, Credentials, Subaccount

R = TypeVar("R", bound=AccountRequest)


def sign(request: R, keys: AccountKeys | Ed25519KeyPair) -> R:
    """Return the request signed by its account.

    For a Session account pass its `AccountKeys`; for a group its Ed25519 pair.  Raises LocalError when the keys are
    not the account's.
    """
    if isinstance(keys, AccountKeys):
        pair, account = keys.ed25519, keys.id.raw
    else:
        pair, account = keys, request.account[:1] + keys.public
    if account != request.account:
        raise LocalError("these keys are not those of the request's account")
    owner = pair.public if request.is_session_account else None
    return _with(request, Credentials(pair.sign(request.signed_message()), owner))


def sign_as_subaccount(
    request: R,
    *,
    token: bytes,
    token_signature: bytes,
    signer: Callable[[bytes], bytes],
    owner_ed25519: bytes | None = None,
) -> R:
    """Return the request signed for the account by the key in a token of 36 bytes.

    `signer` makes the Ed25519 signature of a message with that key; `token_signature` is the owner's over the token.
    `owner_ed25519` is needed for accounts of the prefix 05.  Raises LocalError.
    """
    if len(token) != TOKEN_SIZE:
        raise LocalError(f"a subaccount token has {TOKEN_SIZE} bytes")
    subaccount = Subaccount(token, token_signature)
    return _with(request, Credentials(signer(request.signed_message()), owner_ed25519, subaccount))


def _with(request: R, credentials: Credentials) -> R:
    return msgspec.structs.replace(request, credentials=credentials)
