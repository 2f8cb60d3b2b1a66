"""Which of several lists of nodes to believe: a pure decision, so that every lie can be tried against it.

Whoever chooses a client's nodes can surround it: all its guards, hops and swarms would be theirs.  So no single
source is believed beyond what it can prove.  Spec: REACH *Finding nodes without the seeds*; the rules are ours.

Theory of operation.  A *voice* is one source of a list (a seed, a mirror, a file from a friend).  Its list may be

- *signed*: enough of the known signers signed it.  It does not matter whose voice brings it.  The newest counts; one
  no newer than what was accepted before is never taken.  It is adopted at once.
- *plain*: anything else, with too few signatures or none.

An *anchor* is a list that was once vouched for: signed, agreed upon by several voices (unless the network is tiny), or
by nodes of such a list that were asked through the network.  Beside an anchor a plain list counts only if it resembles
it: at least two thirds of each have to be in the other.  So it can neither replace nor drown nor cut short what is
known; and it never becomes an anchor itself, or a liar would get there in small steps.

Without an anchor the plain lists are compared with each other; what one voice said in the last 30 days is one of them.

    whole lists of    adopted                                                             standing
    one voice         its nodes                                                           provisional
    several voices    the nodes that more than half of them list, if these are two        agreed
                      thirds of what the middle one lists; otherwise nothing              (contradiction)

A plain list past its soft expiry can confirm others, but is put aside when it contradicts them: its age may be why.
A list that calls itself a part (a starter list) is not compared for length: two thirds of it have to be in the whole
list, or it contradicts.  Parts alone are treated as whole lists are.

Nodes are the same if address and both keys are: a liar may know the names of honest nodes, not their secrets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from ramson.protocol.node_list import SOFT_MS, ListAuthority, SignedNodeList
from ramson.protocol.nodes import NodeRecord

MAX_SKEW_MS: Final = 24 * 3600 * 1000  # a list may be this much ahead of our clock, which may be wrong
SMALLEST_ANCHOR: Final = 24  # nodes, unless it is signed
_SHARE: Final = (2, 3)

Identity: TypeAlias = tuple[bytes, bytes, str, int]


class Standing(StrEnum):
    """How much a list of nodes is worth: vouched for by signers, by several voices, or by nobody yet."""

    SIGNED = "signed"
    AGREED = "agreed"
    PROVISIONAL = "provisional"


class Why(StrEnum):
    """Why a list was not taken."""

    OTHER_NETWORK = "it is a list of another network"
    FUTURE = "it is from the future: the list or this device's clock is wrong"
    EXPIRED = "it is too old to be used"
    SHORT = "it names too few nodes to build a path from"
    OLDER = "it is no newer than what is known already"
    UNLIKE = "it is not signed, and differs too much from what is known"
    CONTRADICTED = "it is not signed, and the sources contradict each other"


@dataclass(frozen=True, slots=True)
class FoundList:
    """What one voice gave: a list of ours, whoever signed it, or bare nodes as a seed answers with."""

    voice: str
    given: SignedNodeList | tuple[NodeRecord, ...]

    @property
    def signed(self) -> SignedNodeList | None:
        """The list, if it came as one of ours."""
        return self.given if isinstance(self.given, SignedNodeList) else None

    @property
    def nodes(self) -> tuple[NodeRecord, ...]:
        """The nodes it names."""
        return self.given.statement.nodes if isinstance(self.given, SignedNodeList) else self.given

    @property
    def part(self) -> bool:
        """Whether it calls itself a part of the network."""
        return self.signed is not None and self.signed.statement.part


@dataclass(frozen=True, slots=True)
class Known:
    """What the client has already: nodes, their standing, the voice they came from, and as of when (Unix ms).

    For an anchor that rests on a signed list, `time_ms` is when its nodes were last vouched for.
    """

    nodes: tuple[NodeRecord, ...]
    standing: Standing
    voice: str
    time_ms: int

    @property
    def vouched(self) -> bool:
        """Whether it is more than one voice's word."""
        return self.standing is not Standing.PROVISIONAL

    @property
    def anchor(self) -> bool:
        """Whether plain lists have to resemble it.

        A network too small to renew its list by asking its nodes has nothing but its seeds: what these agreed upon
        once must not shut out what they agree upon later.
        """
        return self.standing is Standing.SIGNED or (self.vouched and len(self.nodes) >= SMALLEST_ANCHOR)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to use.  Without `nodes` nothing is to be adopted, and what was in use stays.

    `anchor` is what is to be remembered as known: the adopted list itself, or the anchor that it resembles.
    `refused` says for each voice passed over why.  `stale` warns that the list is past its soft expiry.
    """

    nodes: tuple[NodeRecord, ...] = ()
    anchor: Known | None = None
    signed: SignedNodeList | None = None
    refused: tuple[tuple[str, Why], ...] = ()
    stale: bool = False

    @property
    def contradiction(self) -> bool:
        """Whether sources contradict what is known or each other, so that at least one of them is wrong or lies."""
        return any(why in {Why.UNLIKE, Why.CONTRADICTED} for _, why in self.refused)


def identity(node: NodeRecord) -> Identity:
    """Return what two lists have to have in common to mean the same node."""
    return (node.ed25519, node.x25519, node.ip, node.https_port)


def judge(
    found: Sequence[FoundList], known: Known | None, authority: ListAuthority, now_ms: int, *, min_nodes: int = 1
) -> Verdict:
    """Decide what to do with the lists found; of two from one voice the last counts.  Their order does not matter."""
    refused: list[tuple[str, Why]] = []
    signed: list[FoundList] = []
    plain: list[FoundList] = []
    for each in sorted({each.voice: each for each in found}.values(), key=lambda each: each.voice):
        trusted = each.signed is not None and authority.trusts(each.signed)
        why = _unfit(each, authority, now_ms, min_nodes) or (_older(each, known, now_ms) if trusted else None)
        if why is not None:
            refused.append((each.voice, why))
        else:
            (signed if trusted else plain).append(each)

    best = max(signed, key=_rank, default=None)
    if best is not None and best.signed is not None:
        said = best.signed.statement
        anchor = Known(best.nodes, Standing.SIGNED, best.voice, said.time_ms)
        stale = now_ms >= said.soft_expiry_ms
        if not stale:
            return Verdict(best.nodes, anchor, best.signed, tuple(refused))
        newer = _beside_anchor(plain, anchor, refused)  # what came just now, if it resembles the old list
        return Verdict(newer or best.nodes, anchor, best.signed, tuple(refused), stale=not newer)
    if known is not None and known.anchor:
        nodes = _beside_anchor(plain, known, refused)
        return Verdict(nodes, known if nodes else None, refused=tuple(refused))
    heard = {each.voice for each in plain}
    if plain and known is not None and known.voice not in heard and now_ms < known.time_ms + SOFT_MS:
        plain.append(FoundList(known.voice, known.nodes))
    verdict = _compared(plain, refused, now_ms)
    fresh = [each for each in plain if not _stale(each, now_ms)]
    if verdict.anchor is None and 0 < len(fresh) < len(plain):
        # An old list may differ for its age alone: it can confirm what others say, but not contradict it.
        aged = [(each.voice, Why.CONTRADICTED) for each in plain if each not in fresh]
        return _compared(fresh, [*refused, *aged], now_ms)
    return verdict


def _unfit(found: FoundList, authority: ListAuthority, now_ms: int, min_nodes: int) -> Why | None:
    if found.signed is not None:
        said = found.signed.statement
        if said.network != authority.network:
            return Why.OTHER_NETWORK
        if said.time_ms > now_ms + MAX_SKEW_MS:
            return Why.FUTURE
        if now_ms >= said.hard_expiry_ms:
            return Why.EXPIRED
    return Why.SHORT if len(found.nodes) < max(1, min_nodes) else None


def _older(found: FoundList, known: Known | None, now_ms: int) -> Why | None:
    """Refuse to go back behind what rests on a signed list, and with a stale list behind any anchor."""
    if found.signed is None or known is None or not known.anchor or known.time_ms > now_ms + MAX_SKEW_MS:
        return None  # what is known as of a later time was learned under a wrong clock
    said = found.signed.statement
    if known.standing is not Standing.SIGNED and now_ms < said.soft_expiry_ms:
        return None
    # The very list that is known is refused too: if that is wanted again, its nodes do not answer, and others may.
    more = (said.time_ms, len(said.nodes)) > (known.time_ms, len(known.nodes))
    return None if more else Why.OLDER


def _rank(found: FoundList) -> tuple[int, bool, bytes]:
    """Order signed lists by age, a whole one after a part; the digest only makes the choice the same everywhere."""
    said = found.signed.statement if found.signed else None
    return (said.time_ms, not said.part, said.digest) if said else (0, False, b"")


def _beside_anchor(plain: Iterable[FoundList], anchor: Known, refused: list[tuple[str, Why]]) -> tuple[NodeRecord, ...]:
    """Return the nodes of the plain list most like the anchor; none when none resembles it."""
    known = {identity(node) for node in anchor.nodes}
    best: tuple[int, FoundList] | None = None
    for each in plain:
        listed = {identity(node) for node in each.nodes}
        shared = len(known & listed)
        if not _enough(shared, len(known)) or not _enough(shared, len(listed)):
            refused.append((each.voice, Why.UNLIKE))
        elif best is None or shared > best[0]:
            best = (shared, each)
    return best[1].nodes if best else ()


def _stale(found: FoundList, now_ms: int) -> bool:
    return found.signed is not None and now_ms >= found.signed.statement.soft_expiry_ms


def _compared(plain: Sequence[FoundList], before: Sequence[tuple[str, Why]], now_ms: int) -> Verdict:
    refused = list(before)
    whole = [each for each in plain if not each.part]
    voices, parts = (whole, [each for each in plain if each.part]) if whole else (list(plain), [])
    if not voices:
        return Verdict(refused=tuple(refused))
    nodes = _majority(voices)
    listed = {identity(node) for node in nodes}
    strangers = [each for each in parts if not _enough(_shared(each, listed), len(each.nodes))]
    if not nodes or (strangers and len(voices) == 1):
        refused.extend((each.voice, Why.CONTRADICTED) for each in plain)
        return Verdict(refused=tuple(refused))
    refused.extend((each.voice, Why.CONTRADICTED) for each in strangers)
    if len(voices) == 1:
        return Verdict(nodes, Known(nodes, Standing.PROVISIONAL, voices[0].voice, now_ms), refused=tuple(refused))
    refused.extend(
        (each.voice, Why.CONTRADICTED) for each in voices if not _enough(_shared(each, listed), len(each.nodes))
    )
    together = "+".join(each.voice for each in voices)
    return Verdict(nodes, Known(nodes, Standing.AGREED, together, now_ms), refused=tuple(refused))


def _majority(voices: Sequence[FoundList]) -> tuple[NodeRecord, ...]:
    """Return the nodes that more than half of the voices list; none if these are too few of what they list."""
    listed: dict[Identity, NodeRecord] = {}
    votes: Counter[Identity] = Counter()
    for each in voices:
        own = {identity(node): node for node in each.nodes}
        votes.update(own.keys())
        listed = listed | own
    nodes = tuple(node for name, node in listed.items() if 2 * votes[name] > len(voices))
    usual = sorted(len(each.nodes) for each in voices)[len(voices) // 2]
    return nodes if _enough(len(nodes), usual) else ()


def _shared(found: FoundList, listed: set[Identity]) -> int:
    return sum(identity(node) in listed for node in found.nodes)


def _enough(some: int, of: int) -> bool:
    times, over = _SHARE
    return some > 0 and some * over >= of * times
