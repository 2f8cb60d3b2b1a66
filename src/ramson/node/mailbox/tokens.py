"""Revocations of subaccount tokens in the database, as functions of a connection inside a transaction.

Rules: storage-rpc §3 and §4 (revoke…, unrevoke…); `lattice.TokenState` for what members agree on.  A revocation needs
no message of its account.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import apsw

from ramson.node.mailbox.copies import proof_number, rows
from ramson.node.mailbox.digests import Digests, of_token
from ramson.node.mailbox.lattice import TokenState, join_tokens, newest, revoked_tokens

_PUT: Final = "INSERT OR REPLACE INTO token (account, token, stamp, revoked, proof) VALUES (?, ?, ?, ?, ?)"


def revoke(
    db: apsw.Connection, digests: Digests, account: bytes, tokens: Iterable[bytes], signed_at: int, proof: bytes | None
) -> None:
    """Remember these tokens as the newest revoked ones."""
    known = known_tokens(db, account)
    stamp = max([signed_at - 1, *(state.stamp for state in known.values())])
    changed = {token: TokenState(stamp + place, revoked=True) for place, token in enumerate(tokens, 1)}
    _change(db, digests, account, known, changed, dict.fromkeys(changed, proof))


def unrevoke(
    db: apsw.Connection, digests: Digests, account: bytes, tokens: Iterable[bytes], signed_at: int, proof: bytes | None
) -> int:
    """Withdraw revocations and return how many there were."""
    known = known_tokens(db, account)
    undone = revoked_tokens(known) & set(tokens)
    changed = {
        token: TokenState(max(signed_at, known[token].stamp + 1), revoked=False) for token in known.keys() & set(tokens)
    }
    _change(db, digests, account, known, changed, dict.fromkeys(changed, proof))
    return len(undone)


def merge(
    db: apsw.Connection, digests: Digests, account: bytes, offered: Mapping[bytes, tuple[TokenState, bytes]]
) -> int:
    """Take what a peer offers, each token with its verified proof, and return how many tokens changed."""
    known = known_tokens(db, account)
    later = {token: state for token, (state, _) in offered.items() if token not in known or state > known[token]}
    return _change(db, digests, account, known, later, {token: offered[token][1] for token in later})


def is_revoked(db: apsw.Connection, account: bytes, token: bytes) -> bool:
    """Tell whether a token counts as revoked."""
    if not rows(db, "SELECT 1 FROM token WHERE account = ? AND token = ? AND revoked = 1", (account, token)):
        return False
    return token in revoked_tokens(known_tokens(db, account))


def known_tokens(db: apsw.Connection, account: bytes) -> dict[bytes, TokenState]:
    """Return how the account's tokens stand."""
    found = rows(db, "SELECT token, stamp, revoked FROM token WHERE account = ?", (account,))
    return {token: TokenState(stamp, bool(revoked)) for token, stamp, revoked in found}


def _change(
    db: apsw.Connection,
    digests: Digests,
    account: bytes,
    known: Mapping[bytes, TokenState],
    changed: Mapping[bytes, TokenState],
    proofs: Mapping[bytes, bytes | None],
) -> int:
    """Let tokens change, each with its proof; return how many did and are among the newest."""
    kept = join_tokens(known, changed)
    for token in known.keys() - kept.keys():
        _forget(db, digests, account, token)
    moved = [token for token in newest(kept) if kept[token] != known.get(token)]
    for token in moved:
        _forget(db, digests, account, token)
        number = proof_number(db, account, proofs[token])
        db.execute(_PUT, (account, token, *kept[token], number))
        if number is not None:
            digests.change(account, of_token(account, token, kept[token]))
    return len(moved)


def _forget(db: apsw.Connection, digests: Digests, account: bytes, token: bytes) -> None:
    """Let a token go.  One without a proof was never counted: no peer could be told of it."""
    sql = "DELETE FROM token WHERE account = ? AND token = ? RETURNING stamp, revoked, proof"
    for stamp, revoked, proof in rows(db, sql, (account, token)):
        if proof is not None:
            digests.change(account, -of_token(account, token, TokenState(stamp, bool(revoked))))
