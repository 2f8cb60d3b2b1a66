"""Taking over what another member has, as functions of a connection inside a transaction.

The caller has verified proofs, hashes and bounds; whether a state may take the place of the known one is decided here,
where both are at hand.  Spec: `lattice`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import apsw

from ramson.node.mailbox import copies
from ramson.node.mailbox.copies import GHOST_LIFE_MS, Key, proof_number
from ramson.node.mailbox.digests import Digests
from ramson.node.mailbox.lattice import State, Warrant, settle

# A ghost may have been made by a clock that is ahead of ours by this much.
GHOST_SLACK_MS: Final = 24 * 60 * 60 * 1000


class Offer(NamedTuple):
    """A copy another member has.

    `until` (ms) is when its ghost ends, 0 for a message that it has whole.  `warrant` is what its `proof` allows
    with this message; both are None without a verified proof.
    """

    key: Key
    state: State
    timestamp: int
    until: int = 0
    data: bytes | None = None
    warrant: Warrant | None = None
    proof: bytes | None = None


class Merged(NamedTuple):
    """What became of offers: how many changed something, how many were refused, and which need their data first."""

    changed: int
    refused: int
    wanted: tuple[int, ...]


def merge(db: apsw.Connection, digests: Digests, offers: Sequence[Offer], now: int) -> Merged:
    """Take over what is ahead of the copies here.  `now` in ms."""
    changed = refused = 0
    wanted: list[int] = []
    for place, offer in enumerate(offers):
        key = offer.key
        known = copies.find(db, key)
        if known is not None and offer.state <= known.state:
            continue
        timestamp = offer.timestamp if known is None else known.timestamp
        if _is_gone(offer.state, now) and (offer.state.is_fresh or 0 < offer.until <= now):
            continue  # it would be swept at once
        state = settle(known and known.state, offer.state, offer.warrant, timestamp, now)
        if state is None:
            refused += 1
            continue
        gone = _is_gone(state, now)
        if not gone and offer.data is None and (known is None or known.row is None):
            wanted.append(place)
            continue
        same_life = known is not None and state[:3] == known.state[:3]
        proof = known.proof if known and same_life else proof_number(db, key.account, offer.proof)
        if gone:
            until = min(offer.until or now + GHOST_LIFE_MS, now + GHOST_LIFE_MS + GHOST_SLACK_MS)
            copies.bury(db, digests, key, known, state, timestamp=timestamp, until=until, proof=proof)
        elif known is not None and known.row is not None:
            copies.update(db, digests, key, known, state, proof)
        else:
            data = offer.data or b""
            copies.insert(db, digests, key, state, timestamp=offer.timestamp, data=data, proof=proof, ghost=known)
        changed += 1
    return Merged(changed, refused, tuple(wanted))


def _is_gone(state: State, now: int) -> bool:
    return state.dead or state.expiry <= now
