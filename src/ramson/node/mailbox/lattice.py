"""What the copies of a message, and of a revocation, at several members agree on, whatever order events reach them in.

Pure: no database, no signatures, no clock.  swarms.md leaves this open (*Known weaknesses*); it is ours.

Theory of operation.  A message, known by account, namespace and hash, has a `State`; states are ordered, and two copies
that meet become the greater one.  A delete is a state too (`dead`), so that a copy which missed it cannot bring the
message back.  Stored again after a delete, the message begins its next `birth`.  Within a birth expiries only rise,
by which `extend` and storing again need no order; lowering one begins the next `version`.  So the order is (birth,
dead, version, expiry).  What is left of a message without its data, dead or run out, is its ghost.

Whoever holds copies can lie.  Letting an expiry rise is harmless, and so is a message that was stored again and lives
no shorter: who has its data could store it himself.  Everything else that makes a state greater could destroy a
copy, and is admitted only with a `Warrant`: what the account's own signed request allows.

Of a subaccount token the latest revocation or its withdrawal counts, ordered by the time the owner signed; of all
tokens of an account the newest are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

LEAP: Final = 1_000  # births that one may have missed; a peer that speaks of more makes them up
KEPT_REVOCATIONS: Final = 50  # per account; the newest win
KEPT_TOKENS: Final = 100  # revoked or not, so that a withdrawn revocation does not come back


class State(NamedTuple):
    """How a message stands.  Of a dead one `version` and `expiry` (ms) are 0."""

    birth: int
    dead: bool
    version: int
    expiry: int

    def killed(self) -> State:
        """Return the state after a delete."""
        return State(self.birth, dead=True, version=0, expiry=0)

    def lowered(self, expiry: int) -> State:
        """Return the state after its expiry was lowered."""
        return State(self.birth, dead=False, version=self.version + 1, expiry=expiry)

    def stored(self, expiry: int) -> State:
        """Return the state after the message was stored (again) with this expiry."""
        if self.dead:
            return State(self.birth + 1, dead=False, version=0, expiry=expiry)
        return self._replace(expiry=max(expiry, self.expiry))

    @property
    def is_fresh(self) -> bool:
        """Whether nothing was ever deleted or lowered: what a store makes of a message nobody knew."""
        return self[:3] == (0, False, 0)


def fresh(expiry: int) -> State:
    """Return the state of a message stored for the first time."""
    return State(0, dead=False, version=0, expiry=expiry)


def join(one: State | None, other: State | None) -> State | None:
    """Return what two copies become when they meet."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


class Warrant(NamedTuple):
    """What a signed request allows with one message: to lower its expiry to `floor` (ms; 0 for a delete).

    It speaks of messages whose own timestamp is at most `until` (ms).
    """

    floor: int
    until: int


def admits(known: State | None, offered: State, warrant: Warrant | None, timestamp: int, now: int) -> bool:
    """Tell whether the state a peer offers may take the place of the known one, beyond which it must be.

    `timestamp` is the message's, `now` the time in ms.  A message may be called dead when its floor has passed.
    """
    if offered[:3] == ((0, False, 0) if known is None else known[:3]):
        return True  # only the expiry rises
    if _is_reborn(known, offered) and (known is None or known.dead or known.expiry <= offered.expiry):
        return True  # the proof of its last delete may not speak of what came after
    if warrant is None or timestamp > warrant.until:
        return False
    return warrant.floor <= (now if offered.dead else offered.expiry)


def settle(known: State | None, offered: State, warrant: Warrant | None, timestamp: int, now: int) -> State | None:
    """Return what becomes of a copy that is offered a state beyond its own; None: it stays as it is.

    That is the state offered, if it is admitted.  Two refusals would leave honest members different for ever.  A
    message that was stored again and lives shorter keeps our expiry, where the warrant does not speak of our copy.
    One whose delete does not speak of our copy, because we know it by a later timestamp, counts as stored again
    after that delete, which the others will take over.
    """
    if offered.birth - (0 if known is None else known.birth) > LEAP:
        return None
    if admits(known, offered, warrant, timestamp, now):
        return offered
    if known is None or known.dead:
        return None
    if _is_reborn(known, offered):
        return offered._replace(expiry=known.expiry)
    if offered.dead and warrant is not None and timestamp > warrant.until:
        return State(offered.birth + 1, dead=False, version=0, expiry=known.expiry)
    return None


def _is_reborn(known: State | None, offered: State) -> bool:
    """Tell whether a message was stored again after a delete, and not lowered since."""
    return not offered.dead and offered.version == 0 and (known is None or known.birth < offered.birth)


class TokenState(NamedTuple):
    """Whether a subaccount token is revoked, and since when (`stamp`, ms: the signed time, or just after the last)."""

    stamp: int
    revoked: bool


def join_tokens(one: Mapping[bytes, TokenState], other: Mapping[bytes, TokenState]) -> dict[bytes, TokenState]:
    """Return what two copies of an account's tokens become: the later state of each, and the newest of all."""
    latest = dict(one)
    for token, state in other.items():
        latest[token] = max(state, latest.get(token, state))
    return {token: latest[token] for token in newest(latest)[:KEPT_TOKENS]}


def newest(tokens: Mapping[bytes, TokenState]) -> list[bytes]:
    """Return tokens from the newest state to the oldest."""
    return sorted(tokens, key=lambda token: (tokens[token], token), reverse=True)


def revoked_tokens(tokens: Mapping[bytes, TokenState]) -> set[bytes]:
    """Return the tokens that count as revoked."""
    return set([token for token in newest(tokens) if tokens[token].revoked][:KEPT_REVOCATIONS])
