"""Which lists are believed: every lie, by every channel, signed or not, with and without a memory of earlier lists."""

import dataclasses
import itertools
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.crypto.keys import Ed25519KeyPair
from ramson.network.judge import MAX_SKEW_MS, FoundList, Known, Standing, Why, judge
from ramson.protocol.node_list import DAY_MS, HARD_MS, SOFT_MS, ListAuthority, SignedNodeList, state
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.swarms import UNASSIGNED

NOW = 1_790_000_000_000
TIME = NOW - DAY_MS  # when today's honest lists were made
SIGNERS = [Ed25519KeyPair.from_seed(b"signer" + bytes([n]) * 26) for n in range(3)]
STRANGERS = [Ed25519KeyPair.from_seed(b"nobody" + bytes([n]) * 26) for n in range(5)]
AUTHORITY = ListAuthority("testing", frozenset(each.public for each in SIGNERS), 2)
CHANNELS = ("dns", "file", "mirror", "seed")


@cache
def a_node(number: int) -> NodeRecord:
    keys = Ed25519KeyPair.from_seed(number.to_bytes(32))
    ip = f"10.{number >> 8}.{number & 255}.1"
    return NodeRecord(keys.public, keys.to_x25519().public, b"", ip, 22021, 22020, UNASSIGNED)


def nodes(*numbers: range) -> tuple[NodeRecord, ...]:
    return tuple(sorted(map(a_node, itertools.chain(*numbers)), key=lambda node: node.ed25519))


HONEST = nodes(range(60))
DEPARTED = nodes(range(200, 230))
RUN_BY_LIARS = nodes(range(12))  # honestly listed: anybody may run nodes
OWN = nodes(range(300, 400))  # the liars', listed by nobody else


def with_other_keys(node: NodeRecord) -> NodeRecord:
    return dataclasses.replace(node, x25519=Ed25519KeyPair.from_seed(node.ed25519).to_x25519().public)


# What a lie lists, and which of the nodes in it serve the liars.
LIES = {
    "only their own": (OWN[:60], OWN),
    "cut short to nodes they run": (RUN_BY_LIARS, RUN_BY_LIARS),
    "drowned in their own": (HONEST + OWN, OWN),
    "half of it long gone": (HONEST[:30] + DEPARTED, DEPARTED),
    "honest names with keys of their own": (tuple(map(with_other_keys, HONEST)), tuple(map(with_other_keys, HONEST))),
}


@cache
def signed(listed: tuple[NodeRecord, ...], signers: tuple[Ed25519KeyPair, ...], time_ms: int = TIME) -> SignedNodeList:
    made = SignedNodeList(state("testing", listed, height=1, time_ms=time_ms))
    for each in signers:
        made = made.signed_by(each)
    return made


def stolen(listed: tuple[NodeRecord, ...]) -> SignedNodeList:
    """A list that carries the signatures of an honest one."""
    return dataclasses.replace(signed(listed, ()), signatures=signed(HONEST, tuple(SIGNERS)).signatures)


@cache
def lying_list(lie: str, dress: str) -> SignedNodeList | tuple[NodeRecord, ...]:
    listed = LIES[lie][0]
    if lie == "honest names with keys of their own":
        return listed  # a signed list has no room for X25519 keys of one's own
    return {
        "no list of ours": lambda: listed,
        "unsigned": lambda: signed(listed, ()),
        "one signature too few": lambda: signed(listed, (SIGNERS[0],)),
        "signed by strangers": lambda: signed(listed, tuple(STRANGERS)),
        "stolen signatures": lambda: stolen(listed),
    }[dress]()


DRESSES = ("no list of ours", "unsigned", "one signature too few", "signed by strangers", "stolen signatures")

MEMORIES = {
    "none": None,
    "provisional": Known(HONEST, Standing.PROVISIONAL, "seed", TIME),
    "agreed": Known(HONEST, Standing.AGREED, "seed1+seed2", TIME),
    "signed": Known(HONEST, Standing.SIGNED, "mirror", TIME - DAY_MS),
    "signed, of a smaller network": Known(HONEST[:45], Standing.SIGNED, "mirror", TIME - 60 * DAY_MS),
}


def share_of_liars(adopted, lie: str) -> float:
    serving = set(LIES[lie][1])
    return sum(node in serving for node in adopted) / len(adopted)


@pytest.fixture(autouse=True, scope="module")
def quick_signatures():
    """Thousands of cases hold the same few lists: look at each list's signatures once."""
    seen: dict[tuple, tuple[SignedNodeList, bool]] = {}
    trusts = ListAuthority.trusts

    def remembered(self, each):
        if (id(each), self) not in seen:
            seen[id(each), self] = (each, trusts(self, each))
        return seen[id(each), self][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ListAuthority, "trusts", remembered)
        yield


@pytest.mark.parametrize("honest_signers", [0, 1, 2])
@pytest.mark.parametrize("memory", MEMORIES)
def test_every_lie_is_caught_unless_liars_outnumber_an_unsigned_truth(memory, honest_signers):
    """The table: each channel is honest, lies or is silent; all liars tell the same lie."""
    known = MEMORIES[memory]
    cases = adopted_truth = 0
    for lie, dress, roles in itertools.product(LIES, DRESSES, itertools.product("HL-", repeat=len(CHANNELS))):
        honest, liars = roles.count("H"), roles.count("L")
        found = []
        for channel, role in zip(CHANNELS, roles, strict=True):
            if role == "H":
                found.append(FoundList(channel, signed(HONEST, tuple(SIGNERS[:honest_signers]))))
            elif role == "L":
                found.append(FoundList(channel, lying_list(lie, dress)))
        verdict = judge(found, known, AUTHORITY, NOW)
        case = (lie, dress, roles, verdict)
        cases += 1
        anchored = (known is not None and known.anchor) or (honest_signers >= 2 and honest)
        # A provisional memory is what one voice said before; it counts as that voice unless it speaks again.
        remembered = memory == "provisional" and roles[CHANNELS.index("seed")] == "-"
        truths = honest + remembered
        if verdict.nodes and (anchored or liars <= truths):
            assert share_of_liars(verdict.nodes, lie) <= 1 / 3, case
        if verdict.anchor is not None and (anchored or liars <= truths):
            assert share_of_liars(verdict.anchor.nodes, lie) <= 1 / 3, case
        if liars == 1 and verdict.anchor is not None and not anchored and not truths:
            assert verdict.anchor.standing is Standing.PROVISIONAL, case  # the first start that remains
        if honest_signers >= 2 and honest:
            assert verdict.signed is not None, case
            assert verdict.nodes == HONEST, case
        elif honest and not anchored and truths > liars:
            assert set(HONEST) <= set(verdict.nodes), case  # liars in the minority cannot even delay
            adopted_truth += 1
        if liars and not truths and known is not None and known.anchor:
            assert share_of_liars(verdict.nodes, lie) <= 1 / 3 if verdict.nodes else verdict.anchor is None, case
    assert cases == len(LIES) * len(DRESSES) * 3 ** len(CHANNELS)
    assert adopted_truth or (known is not None and known.anchor) or honest_signers >= 2


# ---- signed lists


def found(voice: str, listed=HONEST, signers: int = 2, **changes) -> FoundList:
    return FoundList(voice, made(listed, signers, **changes))


def made(listed=HONEST, signers: int = 2, **changes) -> SignedNodeList:
    wishes = {"network": "testing", "height": 1, "time_ms": TIME} | changes
    result = SignedNodeList(state(nodes=listed, **wishes))
    for each in SIGNERS[:signers]:
        result = result.signed_by(each)
    return result


def test_a_signed_list_is_adopted_at_once_whoever_brings_it():
    verdict = judge([found("message", OWN)], MEMORIES["agreed"], AUTHORITY, NOW)
    assert verdict.nodes == OWN
    assert verdict.anchor == Known(OWN, Standing.SIGNED, "message", TIME)
    assert not verdict.stale


def test_of_several_signed_lists_the_newest_counts_and_the_whole_before_the_part():
    older = found("a", HONEST, time_ms=TIME - 1)
    part, whole = found("b", HONEST[:30], part=True), found("c", HONEST)
    for order in itertools.permutations([older, part, whole]):
        assert judge(order, None, AUTHORITY, NOW).signed == whole.signed


def test_a_signed_list_older_than_what_is_known_is_never_taken():
    replay = found("mirror", OWN, time_ms=TIME - DAY_MS - 1)
    verdict = judge([replay], MEMORIES["signed"], AUTHORITY, NOW)
    assert verdict.nodes == ()
    assert verdict.refused == (("mirror", Why.OLDER),)


def test_the_list_that_is_known_is_nothing_new_and_lets_a_seed_that_resembles_it_help_out():
    """Its nodes were tried; if they did not answer, those that a seed names besides may."""
    same = found("file", time_ms=MEMORIES["signed"].time_ms)
    assert judge([same], MEMORIES["signed"], AUTHORITY, NOW).refused == (("file", Why.OLDER),)
    changed = nodes(range(5, 70))
    verdict = judge([same, FoundList("seed", changed)], MEMORIES["signed"], AUTHORITY, NOW)
    assert (verdict.nodes, verdict.anchor) == (changed, MEMORIES["signed"])


def test_the_whole_list_made_together_with_a_part_is_more_than_the_part():
    part = Known(HONEST[:30], Standing.SIGNED, "message", TIME)
    assert judge([found("mirror")], part, AUTHORITY, NOW).nodes == HONEST


def test_what_was_learned_under_a_clock_far_ahead_does_not_shut_out_lists_for_ever():
    known = dataclasses.replace(MEMORIES["signed"], time_ms=NOW + 400 * DAY_MS)
    assert judge([found("mirror")], known, AUTHORITY, NOW).nodes == HONEST


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"network": "other"}, Why.OTHER_NETWORK),
        ({"time_ms": NOW + MAX_SKEW_MS + 1}, Why.FUTURE),
        ({"time_ms": NOW - HARD_MS}, Why.EXPIRED),
        ({"listed": HONEST[:8]}, Why.SHORT),
    ],
)
@pytest.mark.parametrize("signers", [0, 1, 2])
def test_lists_that_are_not_for_us_here_and_now_are_refused_however_they_are_signed(changes, why, signers):
    verdict = judge([found("x", signers=signers, **changes)], None, AUTHORITY, NOW, min_nodes=9)
    assert verdict.nodes == ()
    assert verdict.refused == (("x", why),)


def test_a_little_skew_is_forgiven():
    assert judge([found("x", time_ms=NOW + MAX_SKEW_MS)], None, AUTHORITY, NOW).nodes


STALE = NOW - SOFT_MS


def test_a_list_past_its_soft_expiry_is_used_with_a_warning():
    verdict = judge([found("file", time_ms=STALE)], None, AUTHORITY, NOW)
    assert verdict.nodes == HONEST
    assert verdict.stale


def test_a_stale_list_gives_way_to_a_seed_that_mostly_agrees_but_not_to_one_that_does_not():
    changed = nodes(range(5, 70))
    verdict = judge([found("file", time_ms=STALE), FoundList("seed", changed)], None, AUTHORITY, NOW)
    assert verdict.nodes == changed
    assert verdict.anchor.nodes == HONEST  # what is remembered is what was signed
    assert not verdict.stale
    verdict = judge([found("file", time_ms=STALE), FoundList("seed", OWN)], None, AUTHORITY, NOW)
    assert verdict.nodes == HONEST
    assert verdict.stale
    assert verdict.contradiction


def test_a_stale_list_does_not_replace_what_is_known_since():
    assert not judge([found("file", OWN, time_ms=STALE)], MEMORIES["agreed"], AUTHORITY, NOW).nodes


# ---- plain lists


def test_a_seed_cannot_get_rid_of_an_anchor_in_small_steps():
    """Two thirds of each list are those of the one before; without a fixed anchor the fourth would be all theirs."""
    known = MEMORIES["agreed"]
    for step in range(6):
        answer = HONEST[20 * (step + 1) :] + OWN[: 20 * (step + 1)]
        verdict = judge([FoundList("seed", answer)], known, AUTHORITY, NOW)
        if verdict.nodes:
            assert sum(node in OWN for node in verdict.nodes) <= 20
            known = verdict.anchor
    assert known.nodes == HONEST


def test_a_single_voice_is_believed_for_the_time_being():
    verdict = judge([FoundList("seed1", HONEST)], None, AUTHORITY, NOW)
    assert verdict.nodes == HONEST
    assert verdict.anchor == Known(HONEST, Standing.PROVISIONAL, "seed1", NOW)


def test_the_same_voice_replaces_what_it_said_before():
    known = Known(DEPARTED, Standing.PROVISIONAL, "seed1", TIME)
    assert judge([FoundList("seed1", HONEST)], known, AUTHORITY, NOW).nodes == HONEST


def test_another_voice_confirms_or_contradicts_what_one_said_before():
    known = Known(HONEST, Standing.PROVISIONAL, "seed1", TIME)
    assert judge([FoundList("seed2", HONEST)], known, AUTHORITY, NOW).anchor.standing is Standing.AGREED
    verdict = judge([FoundList("seed2", OWN)], known, AUTHORITY, NOW)
    assert not verdict.nodes
    assert verdict.contradiction


def test_what_one_voice_said_long_ago_does_not_stand_in_the_way():
    known = Known(DEPARTED, Standing.PROVISIONAL, "seed1", NOW - SOFT_MS)
    assert judge([FoundList("seed2", HONEST)], known, AUTHORITY, NOW).nodes == HONEST


def test_what_seeds_of_a_tiny_network_agreed_upon_gives_way_to_what_they_agree_upon_later():
    """Too few nodes to renew the list by asking them; so the seeds may, if they agree, but not a single one."""
    before, later = nodes(range(8)), nodes(range(6), range(20, 30))
    known = Known(before, Standing.AGREED, "a+b", TIME)
    verdict = judge([FoundList("a", later), FoundList("b", later)], known, AUTHORITY, NOW)
    assert set(verdict.nodes) == set(later)
    assert not judge([FoundList("a", later)], known, AUTHORITY, NOW).nodes


def test_nothing_found_is_nothing_new():
    for known in MEMORIES.values():
        verdict = judge([], known, AUTHORITY, NOW)
        assert (verdict.nodes, verdict.anchor, verdict.refused) == ((), None, ())


def test_an_unsigned_starter_list_of_a_friend_checks_a_seed_and_does_not_replace_its_list():
    friend = found("friend", HONEST[:30], signers=0, part=True)
    verdict = judge([friend, FoundList("seed", HONEST)], None, AUTHORITY, NOW)
    assert verdict.nodes == HONEST
    assert verdict.anchor.standing is Standing.PROVISIONAL
    assert not judge([friend, FoundList("seed", OWN)], None, AUTHORITY, NOW).nodes
    assert judge([friend], None, AUTHORITY, NOW).nodes == HONEST[:30]


def test_an_old_unsigned_list_may_confirm_a_seed_but_does_not_shut_it_out():
    """Half of its nodes left in the meantime, and nobody lies."""
    old = found("friend", HONEST[:30] + DEPARTED, signers=0, time_ms=STALE)
    verdict = judge([old, FoundList("seed", HONEST)], None, AUTHORITY, NOW)
    assert (verdict.nodes, verdict.anchor.standing) == (HONEST, Standing.PROVISIONAL)
    old = found("friend", HONEST[:50], signers=0, time_ms=STALE)
    assert judge([old, FoundList("seed", HONEST)], None, AUTHORITY, NOW).anchor.standing is Standing.AGREED
    assert judge([old], None, AUTHORITY, NOW).nodes == HONEST[:50]


def test_without_signers_no_list_is_more_than_provisional():
    nobody = ListAuthority("testing")
    assert judge([found("file", signers=3)], None, nobody, NOW).anchor.standing is Standing.PROVISIONAL


# ---- whatever comes

_lists = st.builds(
    lambda voice, numbers, signers, days, part, ours: (
        FoundList(voice, nodes(numbers))
        if not ours
        else found(voice, nodes(numbers), signers, time_ms=NOW - days * DAY_MS, part=part)
    ),
    st.sampled_from(CHANNELS),
    st.sets(st.integers(0, 25), min_size=1).map(sorted),
    st.integers(0, 3),
    st.integers(-2, 181),
    st.booleans(),
    st.booleans(),
)
_knowns = st.none() | st.builds(
    lambda numbers, standing, days: Known(nodes(numbers), standing, "seed", NOW - days * DAY_MS),
    st.sets(st.integers(0, 25), min_size=1).map(sorted),
    st.sampled_from(Standing),
    st.integers(-3, 180),
)


@given(st.lists(_lists, max_size=5, unique_by=lambda each: each.voice), _knowns, st.randoms())
@settings(max_examples=200, deadline=None)
def test_laws(lists, known, rng):
    verdict = judge(lists, known, AUTHORITY, NOW)
    shuffled = rng.sample(lists, len(lists))
    assert judge(shuffled, known, AUTHORITY, NOW) == verdict  # the order of arrival does not matter
    offered = {node for each in lists for node in each.nodes} | set(known.nodes if known else ())
    assert set(verdict.nodes) <= offered
    assert bool(verdict.nodes) == (verdict.anchor is not None)
    trusted = [each for each in lists if each.signed and AUTHORITY.trusts(each.signed)]
    if verdict.signed:
        assert verdict.signed in [each.signed for each in trusted]
        assert verdict.anchor.standing is Standing.SIGNED
    elif verdict.anchor is not None and verdict.anchor.standing is Standing.SIGNED:
        assert verdict.anchor == known
    if known is not None and known.anchor and not verdict.signed and verdict.nodes:
        kept = sum(node in set(known.nodes) for node in verdict.nodes)
        assert verdict.anchor == known
        assert 3 * kept >= 2 * max(len(known.nodes), len(verdict.nodes))
    if known is not None and known.standing is Standing.SIGNED and known.time_ms <= NOW + MAX_SKEW_MS:
        assert verdict.anchor is None or verdict.anchor.time_ms >= known.time_ms  # no way back
