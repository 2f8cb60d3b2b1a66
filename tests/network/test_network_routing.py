"""Pool, guards, paths and swarms together: what each outcome does to them, and what always holds."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ramson.network.failures import RENEWALS, TABLE, Failure
from ramson.network.paths import subnets
from ramson.network.routing import PATHS, Routing
from ramson.network.trace import NodeDropped, PathBuilt, PathDropped, PathPatched, Source

ACCOUNT = b"\x05" + bytes(32)


@pytest.fixture
def events():
    return []


@pytest.fixture
def routing(nodes, events):
    return standing(nodes(20), events.append)


def standing(listed, trace=lambda _event: None, *, min_pool=4, paths=PATHS):
    routing = Routing(diversity=24, min_pool=min_pool, entropy=random.Random(7), trace=trace)
    routing.load(listed, Source.SEEDS)
    for guard in routing.guard_candidates(paths):
        assert routing.build(guard) is not None
    return routing


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


# ---- building


def test_two_paths_share_no_node_and_no_subnet(routing):
    hops = [hop for path in routing.paths for hop in path.hops]
    assert len(routing.paths) == 2
    assert len(set(hops)) == len(subnets(hops, 24)) == 6
    assert routing.missing == 0


def test_the_trace_shows_a_path_hop_by_hop(routing, events):
    assert [event.position for event in events[1:4]] == [1, 2, 3]
    assert [event.path for event in of_kind(events, PathBuilt)] == list(routing.paths)


def test_a_candidate_for_the_second_guard_is_spared_by_the_first_path(nodes):
    for seed in range(30):
        routing = Routing(diversity=24, min_pool=4, entropy=random.Random(seed))
        routing.load(nodes(6), Source.SEEDS)
        candidates = routing.guard_candidates(2)
        for guard in candidates:
            assert routing.build(guard, sparing=[each.ed25519 for each in candidates])


def test_a_hop_does_not_become_a_guard_nor_a_node_that_left(routing, nodes):
    routing.drop_node(routing.paths[0].guard.ed25519, "test")
    assert routing.build(routing.paths[0].middle) is None
    gone = routing.guard_candidates(1)[0]
    routing.drop_node(gone.ed25519, "test")
    assert routing.build(gone) is None


def test_guards_are_never_in_the_middle_of_a_path(nodes):
    listed = nodes(12)
    routing = Routing(diversity=24, min_pool=4, entropy=random.Random(1))
    routing.load(listed, Source.SEEDS)
    routing.remember_guards([listed[0].ed25519, listed[1].ed25519])
    for _ in range(100):
        path = routing.build(listed[2])
        assert not {hop.ed25519 for hop in path.hops[1:]} & {listed[i].ed25519 for i in range(3)}
        routing.drop_node(path.guard.ed25519, "test")
        routing.load(listed, Source.SEEDS)


def test_a_pool_too_small_or_too_uniform_is_not_usable(node, nodes):
    def usable(listed):
        routing = Routing(diversity=24, min_pool=9, entropy=random.Random(1))
        routing.load(listed, Source.SEEDS)
        return routing.usable

    assert usable(nodes(9))
    assert not usable(nodes(8))
    assert not usable([node(i, f"10.0.{i % 8}.{i + 1}") for i in range(40)])


def test_nodes_without_an_address_are_left_out(node):
    routing = Routing(diversity=24, min_pool=4, entropy=random.Random(1))
    routing.load([node(0), node(1, "0.0.0.0")], Source.SEEDS)
    assert list(routing.pool) == [node(0).ed25519]


# ---- choosing


def test_a_request_never_goes_through_its_own_destination(routing):
    destination = routing.paths[0].last.ed25519
    assert {routing.choose(destination) for _ in range(50)} == {routing.paths[1]}


def test_both_paths_are_used(routing):
    assert {routing.choose() for _ in range(50)} == set(routing.paths)


def test_a_retry_takes_the_other_path(routing):
    assert {routing.choose(after=routing.paths[0]) for _ in range(50)} == {routing.paths[1]}


def test_if_the_only_path_holds_the_destination_its_guard_serves_another_path_once(nodes):
    routing = standing(nodes(8), paths=1)
    (path,) = routing.paths
    spare = routing.choose(path.middle.ed25519)
    assert spare.guard == path.guard
    assert not spare.holds(path.middle.ed25519)
    assert len(subnets(spare.hops, 24)) == 3
    assert routing.paths == (path,)
    assert routing.choose(path.guard.ed25519) is None


# ---- failures


def test_a_missing_next_node_is_dropped_and_the_path_patched_at_its_end(routing, events):
    path = routing.paths[0]
    routing.failed(Failure.NEXT_NODE_MISSING, path, destination=None, named=path.middle.ed25519)
    patched = routing.paths[0]
    assert (patched.guard, patched.middle) == (path.guard, path.last)
    assert patched.last not in path.hops
    assert path.middle.ed25519 not in routing.pool
    assert of_kind(events, PathPatched)[0].after == patched
    assert of_kind(events, NodeDropped)[0].node == path.middle


def test_a_replacement_avoids_the_subnets_of_the_path(node):
    crowded = [node(i, f"10.0.{i % 7}.{i + 1}") for i in range(28)]
    for _ in range(20):
        routing = standing(crowded)
        path = routing.paths[0]
        routing.failed(Failure.NEXT_NODE_MISSING, path, named=path.last.ed25519)
        assert len(subnets(routing.paths[0].hops, 24)) == 3


def test_a_missing_destination_leaves_the_pool_but_no_path(routing):
    path = routing.paths[0]
    destination = next(key for key in routing.pool if not any(p.holds(key) for p in routing.paths))
    routing.failed(Failure.NEXT_NODE_MISSING, path, destination=destination, named=destination)
    assert destination not in routing.pool
    assert path in routing.paths


def test_a_hop_may_not_blame_nodes_the_request_did_not_go_through(routing):
    path, stranger = routing.paths[0], routing.paths[1].last.ed25519
    for named in (stranger, path.guard.ed25519, b"?" * 32):
        routing.failed(Failure.NEXT_NODE_MISSING, path, named=named)
    assert stranger in routing.pool
    assert path not in routing.paths  # three lies are three failures


def test_a_guard_that_keeps_naming_nodes_is_at_last_not_believed(routing):
    guard = routing.paths[0].guard
    for _ in range(9):
        (path,) = (path for path in routing.paths if path.guard == guard)
        routing.failed(Failure.NEXT_NODE_MISSING, path, named=path.middle.ed25519)
    assert guard.ed25519 not in routing.pool


def fail(routing, failure, path, **who):
    """Let a test of a suspect path fail; a silence is followed by a look at the guard, which answers."""
    routing.waits(path)
    routing.failed(failure, path, **who, test=True)
    if TABLE[failure].silence:
        routing.guard_seen(path.guard.ed25519, good=True, online=True)


BEHIND_THE_GUARD = [
    Failure.GUARD_ERROR,
    Failure.PATH_TIMEOUT,
    Failure.OVERTAKEN,
    Failure.TEST_UNANSWERED,
    Failure.UNREADABLE,
]


@pytest.mark.parametrize("failure", BEHIND_THE_GUARD)
def test_the_third_failure_puts_other_nodes_behind_the_guard(routing, events, failure):
    path = routing.paths[0]
    for _ in range(2):
        fail(routing, failure, path)
    assert path in routing.paths
    fail(routing, failure, path)
    (renewed,) = (known for known in routing.paths if known.guard == path.guard)
    assert not {path.middle.ed25519, path.last.ed25519} & set(routing.pool)
    assert not renewed.holds(path.middle.ed25519)
    assert not renewed.holds(path.last.ed25519)
    assert [(event.before, event.after) for event in of_kind(events, PathPatched)] == [(path, renewed)]
    assert of_kind(events, PathDropped) == []
    assert renewed in routing.suspects


@pytest.mark.parametrize("failure", BEHIND_THE_GUARD)
def test_a_guard_behind_which_nothing_works_is_given_up_after_two_renewals(routing, events, failure):
    guard = routing.paths[0].guard
    for count in range(9):
        assert guard.ed25519 in routing.guards, count
        (path,) = (path for path in routing.paths if path.guard == guard)
        fail(routing, failure, path)
    assert guard.ed25519 not in routing.guards
    assert guard.ed25519 not in routing.pool


def test_replies_in_between_give_a_guard_no_more_renewals(routing):
    guard = routing.paths[0].guard
    for _ in range(3):
        (path,) = (path for path in routing.paths if path.guard == guard)
        routing.answered(path)
        for _ in range(3):
            fail(routing, Failure.PATH_TIMEOUT, path)
    assert guard.ed25519 not in routing.guards


def test_a_path_that_cannot_be_renewed_is_dropped_and_its_guard_remembered(nodes):
    routing = standing(nodes(4), paths=1)
    (path,) = routing.paths
    for _ in range(3):
        fail(routing, Failure.PATH_TIMEOUT, path)
    assert routing.paths == ()
    assert routing.guards == (path.guard.ed25519,)


# ---- suspicion


def test_a_suspect_path_is_taken_only_if_there_is_no_other(routing):
    first, second = routing.paths
    routing.failed(Failure.OVERTAKEN, first)
    assert {routing.choose() for _ in range(50)} == {second}
    assert routing.beside([second], None) is None
    assert routing.beside([first], None) == second
    assert routing.choose(second.last.ed25519) == first
    routing.failed(Failure.GUARD_ERROR, second)
    assert routing.choose() not in routing.paths
    routing.answered(first)
    assert {routing.choose() for _ in range(50)} == {first}


# ---- reserves


def test_while_no_path_is_sound_a_request_goes_by_other_nodes_behind_the_same_guards(routing):
    first, second = routing.paths
    routing.waits(first)
    assert routing.beside([first], None) == second, "no reserve while a path is sound"
    routing.waits(second)
    reserve = routing.beside([first, second], None)
    assert reserve.guard in {first.guard, second.guard}
    assert not {reserve.middle, reserve.last} & {*first.hops, *second.hops}
    other = routing.beside([first, second, reserve], None)
    assert {reserve.guard, other.guard} == {first.guard, second.guard}
    assert routing.beside([first, second, reserve, other], None) is None
    assert routing.beside([first, second], None, last=True) is None
    assert {routing.choose() for _ in range(50)} == {reserve, other}
    assert routing.choose(reserve.last.ed25519) == other, "the destination is no hop"


def test_a_reserve_that_brought_a_reply_comes_before_one_that_did_not(routing):
    for path in routing.paths:
        routing.waits(path)
    one = routing.beside(routing.paths, None)
    other = routing.beside([*routing.paths, one], None)
    routing.waits(one)
    assert {routing.choose() for _ in range(50)} == {other}
    routing.answered(one)
    assert {routing.choose() for _ in range(50)} == {one}


def test_a_path_is_renewed_with_its_reserve_and_needs_no_test_if_that_brought_replies(routing):
    first, second = routing.paths
    routing.waits(first)
    routing.waits(second)
    reserve = routing.choose()
    path = first if reserve.guard == first.guard else second
    routing.answered(reserve)
    for _ in range(3):
        routing.failed(Failure.TEST_UNANSWERED, path, test=True)
        look(routing, path, good=True, online=True)
    assert reserve in routing.paths
    assert reserve not in routing.suspects
    assert {routing.choose() for _ in range(50)} == {reserve}


def test_a_reserve_whose_node_has_gone_never_becomes_a_path(routing):
    for path in routing.paths:
        routing.waits(path)
    reserve = routing.choose()
    routing.drop_node(reserve.middle.ed25519, "test")
    routing.reroll(guards=False)
    assert not any(path.holds(reserve.middle.ed25519) for path in routing.paths)


def test_what_a_reserve_does_counts_against_nobody_behind_its_guard(routing):
    for path in routing.paths:
        routing.waits(path)
    before = dict(routing.pool)
    reserve = routing.choose()
    for failure in (Failure.PATH_TIMEOUT, Failure.OVERTAKEN, Failure.GUARD_ERROR, Failure.UNREADABLE):
        for _ in range(5):
            fail(routing, failure, reserve)
    assert dict(routing.pool) == before


def test_a_guard_gets_no_more_draws_by_reserves(nodes):
    """It lets everything fail, and says of every reserve that a node of it is gone."""
    routing = standing(nodes(40), paths=1)
    (path,) = routing.paths
    drawn = {path}
    while path.guard.ed25519 in routing.guards:
        routing.waits(path)
        if (reserve := routing.choose()) != path:
            drawn.add(reserve)
            routing.drop_node(reserve.last.ed25519, "its guard wished it")
        else:
            routing.failed(Failure.TEST_UNANSWERED, path, test=True)
            look(routing, path, good=True, online=True)
        drawn.update(routing.paths)
        path = next(iter(routing.paths), path)
    assert len(drawn) == 1 + RENEWALS


def test_reserves_are_not_used_because_the_way_out_has_become_another(routing):
    paths = set(routing.paths)
    routing.doubt_all()
    assert {routing.choose() for _ in range(50)} == paths


def test_a_path_by_which_a_request_waits_after_another_is_passed_over_but_not_tested(routing):
    first, second = routing.paths
    routing.waits(first)
    routing.waits(second, alone=False)
    assert routing.suspects == (first,), "it may be the destination that is silent"
    assert routing.choose() not in {first, second}
    routing.answered(second)
    assert {routing.choose() for _ in range(50)} == {second}


def test_nodes_that_may_be_what_is_silent_are_doubted(routing):
    first, second = routing.paths
    routing.waits(first)
    assert [routing.is_doubted(hop.ed25519) for hop in first.hops] == [True] * 3
    assert not routing.is_doubted(second.last.ed25519)
    routing.answered(first, test=True)
    assert not routing.is_doubted(first.last.ed25519)


def test_a_path_that_lets_a_request_wait_is_tested_and_nothing_is_held_against_it(routing):
    first, second = routing.paths
    for _ in range(5):
        routing.waits(first)
        assert routing.suspects == (first,)
        assert {routing.choose() for _ in range(50)} == {second}
        routing.answered(first, test=True)
        assert routing.suspects == ()
    assert routing.paths == (first, second)


def test_a_test_that_is_silent_when_a_reply_has_come_since_it_was_sent_counts_nothing(routing):
    path = routing.paths[0]
    for _ in range(5):
        routing.waits(path)
        routing.answered(path, test=True)
        routing.failed(Failure.TEST_UNANSWERED, path, test=True)
    assert path in routing.paths
    assert routing.suspects == routing.doubtful_guards == ()


def test_a_request_that_fails_after_it_had_to_wait_counts_and_so_does_each_test(routing):
    path = routing.paths[0]
    routing.waits(path)
    fail(routing, Failure.TEST_UNANSWERED, path)
    for _ in range(3):
        routing.failed(Failure.OVERTAKEN, path)
        look(routing, path, good=True, online=True)
    assert path in routing.paths
    fail(routing, Failure.TEST_UNANSWERED, path)
    assert path not in routing.paths


def test_a_path_is_tested_once_its_guard_was_seen_until_a_reply_comes(routing):
    path = routing.paths[0]
    assert routing.suspects == ()
    routing.failed(Failure.OVERTAKEN, path)
    assert routing.suspects == ()
    look(routing, path, good=True, online=True)
    assert routing.suspects == (path,)
    routing.answered(path)
    assert routing.suspects == ()


@pytest.mark.parametrize("failure", BEHIND_THE_GUARD)
def test_what_was_on_its_way_when_a_path_became_suspect_counts_once(routing, failure):
    path = routing.paths[0]
    for _ in range(5):
        routing.failed(failure, path)
        look(routing, path, good=True, online=True)
    assert path in routing.paths
    assert len(routing.pool) == 20


def test_a_late_reply_makes_up_for_the_silence_it_was(routing):
    path = routing.paths[0]
    for _ in range(20):
        fail(routing, Failure.OVERTAKEN, path)
        routing.answered(path)
    for _ in range(20):
        routing.failed(Failure.OVERTAKEN, path)
        routing.answered(path)  # before its guard was looked at
        look(routing, path, good=True, online=True)
    assert path in routing.paths
    assert routing.doubtful_guards == ()


def test_what_carries_tests_and_nothing_else_is_given_up(routing):
    path = routing.paths[0]
    for _ in range(3):
        fail(routing, Failure.OVERTAKEN, path)
        routing.answered(path, test=True)
    assert path not in routing.paths


@pytest.mark.parametrize("failure", [Failure.GUARD_UNREACHABLE, Failure.PATH_TIMEOUT])
def test_a_silence_while_nobody_else_answered_either_is_tested_but_not_counted(routing, failure):
    path, destination = routing.paths[0], next(iter(routing.pool))
    for _ in range(10):
        routing.failed(failure, path, destination=destination, online=False)
        look(routing, path, good=True, online=True)
        assert path in routing.suspects
    assert path in routing.paths
    assert destination in routing.pool


def test_a_guard_in_use_is_not_given_up_for_what_it_does_as_a_destination(routing):
    guard = routing.paths[1].guard
    for _ in range(5):
        routing.failed(Failure.DESTINATION_ERROR, routing.paths[0], destination=guard.ed25519)
    assert routing.has_failed(guard.ed25519)
    assert guard in {path.guard for path in routing.paths}


def test_a_test_shows_that_a_silence_was_the_destinations_if_there_is_another_path(routing, nodes):
    path = routing.paths[0]
    for _ in range(10):
        fail(routing, Failure.PATH_TIMEOUT, path)
        routing.answered(path, test=True)
    assert path in routing.paths
    routing = standing(nodes(20), paths=1)
    (path,) = routing.paths
    for _ in range(3):
        fail(routing, Failure.PATH_TIMEOUT, path)
        routing.answered(path, test=True)
    assert path not in routing.paths


def test_a_reply_clears_the_path_but_not_the_destination_that_was_silent(routing):
    path = routing.paths[0]
    silent = next(key for key in routing.pool if not any(known.holds(key) for known in routing.paths))
    for _ in range(3):
        routing.failed(Failure.PATH_TIMEOUT, path, destination=silent)
        routing.answered(path)
    assert silent not in routing.pool
    assert path in routing.paths


def test_what_went_by_the_nodes_a_path_had_before_says_nothing_of_those_it_has_now(routing):
    before = routing.paths[0]
    for _ in range(3):
        fail(routing, Failure.PATH_TIMEOUT, before)
    (renewed,) = (path for path in routing.paths if path.guard == before.guard)
    for _ in range(3):
        fail(routing, Failure.PATH_TIMEOUT, before)
    routing.answered(before)
    assert renewed in routing.paths
    assert renewed in routing.suspects


def test_a_test_asks_a_node_that_is_on_no_path_and_has_not_failed(routing):
    path = routing.paths[0]
    free = [key for key in routing.pool if not any(known.holds(key) for known in routing.paths)]
    for key in free[1:]:
        routing.blame_node(key)
    assert routing.test_destination(path).ed25519 == free[0]
    routing.blame_node(free[0])
    assert {routing.test_destination(path).ed25519 for _ in range(200)} == set(free)


def test_in_a_tiny_network_a_test_may_ask_a_hop_of_the_other_path(nodes):
    routing = standing(nodes(6))
    first, second = routing.paths
    assert {routing.test_destination(first) for _ in range(100)} == set(second.hops)


def test_a_reply_makes_up_for_a_failure(routing):
    path = routing.paths[0]
    for _ in range(10):
        fail(routing, Failure.PATH_TIMEOUT, path)
        fail(routing, Failure.UNREADABLE, path)
        routing.answered(path)
        routing.answered(path)
    assert path in routing.paths


def test_the_third_failure_of_a_destination_drops_it_everywhere(routing):
    path = routing.paths[0]
    victim = routing.pool[routing.paths[1].middle.ed25519]
    routing.swarms.replace(ACCOUNT, [victim])
    for _ in range(3):
        routing.failed(Failure.DESTINATION_ERROR, path, destination=victim.ed25519)
    assert victim.ed25519 not in routing.pool
    assert routing.swarms.members(ACCOUNT) == ()
    assert not routing.paths[1].holds(victim.ed25519)
    assert path in routing.paths


@pytest.mark.parametrize(
    "failure",
    [Failure.UNAUTHORISED, Failure.CLOCK, Failure.BAD_REQUEST, Failure.OXEN_SERVER_ERROR, Failure.SERVER_UNREACHABLE],
)
def test_what_a_destination_says_costs_the_path_nothing(routing, failure):
    before = routing.paths, dict(routing.pool)
    for _ in range(10):
        routing.failed(failure, routing.paths[0], destination=routing.paths[1].last.ed25519)
    assert (routing.paths, dict(routing.pool)) == before


# ---- silence


def look(routing, path, *, good, online):
    routing.guard_seen(path.guard.ed25519, good=good, online=online)


def test_a_path_whose_guard_cannot_be_reached_does_not_count_as_working(routing):
    first, second = routing.paths
    routing.failed(Failure.GUARD_UNREACHABLE, first)
    assert routing.working == (second,)
    routing.failed(Failure.GUARD_ERROR, first)
    assert routing.working == (first, second)


def test_after_a_silence_the_guard_is_looked_at(routing):
    first, second = routing.paths
    routing.failed(Failure.PATH_TIMEOUT, first)
    assert routing.working == (first, second)
    assert routing.doubtful_guards == (first.guard,)
    look(routing, first, good=False, online=False)
    assert routing.working == (second,)
    assert routing.doubtful_guards == (first.guard,)
    look(routing, first, good=True, online=True)
    assert routing.working == (first, second)
    assert routing.doubtful_guards == ()


def test_many_silences_at_once_are_one_failure(routing):
    path = routing.paths[0]
    for _ in range(20):
        routing.failed(Failure.PATH_TIMEOUT, path, destination=routing.paths[1].last.ed25519)
    look(routing, path, good=True, online=True)
    assert path in routing.paths
    assert len(routing.pool) == 20


def test_a_guard_that_stays_silent_while_others_answer_is_given_up_but_not_those_behind_it(routing):
    path = routing.paths[0]
    routing.failed(Failure.GUARD_UNREACHABLE, path)
    for _ in range(3):
        assert path in routing.paths
        look(routing, path, good=False, online=True)
    assert path not in routing.paths
    assert path.guard.ed25519 not in routing.pool
    assert {path.middle.ed25519, path.last.ed25519} <= set(routing.pool)


def test_a_guard_that_answers_looks_but_carries_nothing_is_given_up(routing):
    path = routing.paths[0]
    for _ in range(3):
        fail(routing, Failure.GUARD_UNREACHABLE, path)
    assert path not in routing.paths


@pytest.mark.parametrize("failure", [Failure.GUARD_UNREACHABLE, Failure.PATH_TIMEOUT])
def test_being_offline_is_nobodys_fault(routing, failure):
    before = routing.paths, routing.guards, dict(routing.pool)
    for _ in range(10):
        for path in routing.paths:
            for _ in range(5):
                routing.failed(failure, path, destination=next(iter(routing.pool)))
            look(routing, path, good=False, online=False)
    assert routing.working == ()
    for path in routing.paths:
        look(routing, path, good=True, online=True)
    assert (routing.paths, routing.guards, dict(routing.pool)) == before
    for path in routing.paths:
        for _ in range(2):
            fail(routing, failure, path)
    assert routing.paths == before[0]


# ---- paths that cannot be mended


def test_a_path_that_cannot_be_patched_is_dropped_and_its_guard_remembered(nodes):
    routing = standing(nodes(4), paths=1)
    (path,) = routing.paths
    routing.drop_node(next(key for key in routing.pool if not path.holds(key)), "test")
    routing.drop_node(path.last.ed25519, "test")
    assert routing.paths == ()
    assert routing.guards == (path.guard.ed25519,)
    assert [guard.ed25519 for guard in routing.idle_guards] == [path.guard.ed25519]


# ---- new lists


def test_a_new_list_forgives_everybody(routing, nodes):
    path = routing.paths[0]
    for _ in range(5):
        routing.failed(Failure.GUARD_ERROR, path)
        routing.failed(Failure.GUARD_ERROR, path)
        routing.load(nodes(20), Source.NODES)
    assert path in routing.paths


def test_nodes_no_longer_listed_leave_swarms_and_paths(routing, nodes):
    first, second = routing.paths
    routing.swarms.replace(ACCOUNT, [first.middle, second.middle])
    gone = {first.middle, first.last, second.guard}
    routing.load([each for each in nodes(20) if each not in gone], Source.SEEDS)
    (left,) = routing.paths
    assert left.guard == first.guard
    assert not set(left.hops) & gone
    assert routing.swarms.members(ACCOUNT) == (second.middle,)
    assert second.guard.ed25519 not in routing.guards


def test_a_new_address_of_a_hop_is_taken_over(routing, node, nodes):
    moved = routing.paths[0].guard
    listed = [node(i, "10.9.9.9") if each == moved else each for i, each in enumerate(nodes(20))]
    routing.load(listed, Source.SEEDS)
    assert routing.paths[0].guard.ip == "10.9.9.9"


def test_guards_are_remembered_if_the_list_knows_them(nodes):
    routing = Routing(diversity=24, min_pool=4, entropy=random.Random(1))
    routing.load(nodes(10), Source.CACHE)
    routing.remember_guards([nodes(10)[3].ed25519, b"?" * 32])
    assert routing.guards == (nodes(10)[3].ed25519,)
    assert routing.idle_guards == (nodes(10)[3],)


# ---- what always holds


class RoutingMachine(RuleBasedStateMachine):
    """Any order of lists, builds, replies and failures."""

    @initialize(seed=st.integers(0, 2**16), size=st.integers(4, 24), nets=st.integers(4, 24))
    def begin(self, seed, size, nets):
        self.random = random.Random(seed)
        self.nets = nets
        self.drawn = []
        self.routing = Routing(diversity=24, min_pool=4, entropy=self.random)
        self.listed = self.nodes(size)
        self.routing.load(self.listed, Source.SEEDS)

    def nodes(self, size):
        from ramson.protocol.nodes import NodeRecord

        return [
            NodeRecord(b"E" + i.to_bytes(31), b"X" * 32, b"", f"10.0.{i % self.nets}.{i + 1}", 1, 1, 1)
            for i in range(size)
        ]

    @rule()
    def build(self):
        candidates = self.routing.guard_candidates(2)
        for guard in candidates:
            if self.routing.missing:
                self.routing.build(guard)

    @rule()
    def draw_candidates(self):
        self.drawn = self.routing.guard_candidates(2)

    @rule()
    def build_behind_candidates_of_long_ago(self):
        for guard in self.drawn:
            if self.routing.missing:
                self.routing.build(guard, sparing=[each.ed25519 for each in self.drawn])

    @rule(gone=st.sets(st.integers(0, 23), max_size=6))
    def reload(self, gone):
        self.routing.load([each for i, each in enumerate(self.listed) if i not in gone], Source.NODES)

    @precondition(lambda self: self.routing.paths)
    @rule(failure=st.sampled_from(Failure), which=st.integers(0, 9), named=st.integers(0, 30))
    def fail(self, failure, which, named):
        path = self.routing.paths[which % len(self.routing.paths)]
        keys = [each.ed25519 for each in self.listed]
        self.routing.failed(failure, path, destination=keys[which % len(keys)], named=keys[named % len(keys)])

    @precondition(lambda self: self.routing.doubtful_guards)
    @rule(good=st.booleans(), online=st.booleans())
    def look(self, good, online):
        self.routing.guard_seen(self.routing.doubtful_guards[0].ed25519, good=good, online=good or online)

    @precondition(lambda self: self.routing.suspects)
    @rule(good=st.booleans())
    def test_a_suspect(self, good):
        path = self.routing.suspects[0]
        node = self.routing.test_destination(path)
        assert node is None or not path.holds(node.ed25519)
        if good:
            self.routing.answered(path, test=True)
        else:
            self.routing.failed(Failure.TEST_UNANSWERED, path, test=True)

    @precondition(lambda self: self.routing.paths)
    @rule(which=st.integers(0, 9))
    def answer(self, which):
        self.routing.answered(self.routing.paths[which % len(self.routing.paths)])

    @invariant()
    def hops_are_distinct_listed_and_diverse(self):
        hops = [hop for path in self.routing.paths for hop in path.hops]
        assert len(hops) == len(set(hops)) == 3 * len(self.routing.paths)
        assert all(hop.ed25519 in self.routing.pool for hop in hops)
        assert all(len(subnets(path.hops, 24)) == 3 for path in self.routing.paths)

    @invariant()
    def a_second_way_has_no_new_guard_and_shares_nothing_else_with_any_path(self):
        for path in self.routing.paths:
            other = self.routing.beside([path], None)
            assert other is None or other.guard in {each.guard for each in self.routing.paths}
            assert other is None or not set(other.hops[1:]) & set(path.hops)

    @precondition(lambda self: self.routing.paths)
    @rule(which=st.integers(0, 9), failure=st.sampled_from(Failure))
    def lose_by_any_way(self, which, failure):
        self.routing.waits(self.routing.paths[which % len(self.routing.paths)])
        if (path := self.routing.choose()) is not None:
            self.routing.failed(failure, path)

    @precondition(lambda self: self.routing.paths)
    @rule()
    def answer_by_any_way(self):
        if (path := self.routing.choose()) is not None:
            self.routing.answered(path)

    @invariant()
    def guards_are_listed_and_in_no_middle(self):
        guards = set(self.routing.guards)
        assert guards <= set(self.routing.pool)
        assert {path.guard.ed25519 for path in self.routing.paths} <= guards
        assert not guards & {hop.ed25519 for path in self.routing.paths for hop in path.hops[1:]}

    @invariant()
    def a_destination_is_never_on_its_path(self):
        for key in list(self.routing.pool):
            path = self.routing.choose(key)
            assert path is None or not path.holds(key)


TestRoutingMachine = RoutingMachine.TestCase
TestRoutingMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
