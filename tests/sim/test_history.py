"""The checker of histories catches what it is there to catch, and claims nothing where operations overlap."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from history import ALLOWANCE, LATE, SLACK, History, Key, Kind, Membership, Op, Read, Snapshot, State, TokenRead, check

ALICE = b"\x05" + bytes(32)
NAME = "n" * 43
KEY = Key(ALICE, 0, NAME)
T = 1_000_000
END = T + 500_000
DAY = 86_400_000
LONG = T + DAY
ALL = {0, 1, 2}
ALIVE = State(0, False, 0, LONG)
DEAD = State(0, True, 0, 0)


def op(kind, start, *, by=(0, 1, 2), value=LONG, settled=True, **changes):
    """An operation on the one message that everybody in `by` reported to have carried out."""
    said = 0 if kind.startswith("delete") else value
    fields = {
        "said": {node: {NAME: said} for node in by},
        "settled": settled,
        "hashes": frozenset({NAME}),
        "value": value,
        "timestamp": start,
    }
    return Op(kind, ALICE, start, start + 100, **{**fields, **changes})


def store(start=T, **changes):
    return op(Kind.STORE, start, **changes)


def delete(start=T + 100_000, **changes):
    return op(Kind.DELETE, start, value=0, **changes)


def having(state=None, *, ghost=None, tokens=()):
    return Snapshot({KEY: state} if state else {}, {KEY: ghost} if ghost else {}, dict(tokens))


def history(*ops, end, swarm=None, changes=()):
    """One swarm of three; `end` is what they have in the end."""
    swarm = dict.fromkeys(range(3), 7) if swarm is None else swarm
    first = Membership(0, dict.fromkeys(range(3), 7), {node: Snapshot() for node in range(5)})
    has = {node: Snapshot() for node in range(5)} | dict(enumerate(end))
    return History(list(ops), [], [], [first, *changes, Membership(END, swarm, has)])


def violations(the_history, **options):
    return sorted({text.split(":")[0] for text in check(the_history, **options).violations})


def test_a_history_as_it_should_be():
    verdict = check(history(store(), end=[having(ALIVE)] * 3))
    assert verdict.violations == []
    assert verdict.claims["present"] == 1


# ---- nothing acknowledged is lost


def test_a_stored_message_that_nobody_has():
    assert violations(history(store(), end=[having()] * 3)) == ["lost"]


def test_a_stored_message_that_one_member_lacks():
    assert violations(history(store(), end=[having(ALIVE), having(ALIVE), having()])) == ["differ", "lost"]


def test_a_message_of_which_one_acknowledgement_was_enough():
    assert violations(history(store(by=(1,), settled=False), end=[having()] * 3)) == ["lost"]


def test_nothing_is_claimed_of_a_message_that_nobody_acknowledged():
    for settled in (True, False):
        unheard = store(by=(), settled=settled)
        assert violations(history(unheard, end=[having()] * 3)) == []
    assert violations(history(store(by=(), settled=False), end=[having(ALIVE)] * 3)) == []


def test_a_message_that_was_to_expire_need_not_be_there():
    assert violations(history(store(value=T + 20_000), end=[having()] * 3)) == []


def test_a_message_that_was_lowered_need_not_be_there_even_if_nobody_answered():
    lowered = op(Kind.SHORTEN, T + 1000, value=T + 20_000, by=(), settled=False)
    assert violations(history(store(), lowered, end=[having()] * 3)) == []


def test_a_message_that_was_extended_must_be_there():
    extended = op(Kind.EXTEND, T + 10_000, value=LONG)
    assert violations(history(store(value=T + 20_000), extended, end=[having()] * 3)) == ["lost"]


def test_a_delete_that_may_still_arrive_excuses_everything():
    pending = delete(by=(), settled=False)
    assert violations(history(store(), pending, end=[having()] * 3)) == []
    assert violations(history(store(), pending, end=[having(ALIVE)] * 3)) == []


def test_a_delete_that_found_nothing_excuses_nothing():
    assert violations(history(store(), delete(by=()), end=[having()] * 3)) == ["lost"]


@pytest.mark.parametrize(("apart", "caught"), [(LATE + 200, ["lost"]), (LATE - 200, [])])
def test_a_message_stored_again_after_its_delete_was_over(apart, caught):
    deleted = delete(settled=False)
    again = store(deleted.end + apart)
    assert violations(history(store(), deleted, again, end=[having()] * 3)) == caught


def test_a_message_stored_again_by_others_than_those_who_deleted_it():
    deleted = delete(by=(0,), settled=False)
    again = store(deleted.last + 1, by=(1,), settled=False)
    verdict = check(history(store(), deleted, again, end=[having()] * 3))
    assert verdict.violations == []
    assert verdict.claims["contested"] == 1


def test_a_message_that_those_took_along_who_left():
    gone = Membership(T + 200_000, {2: 7}, {node: having(ALIVE if node < 2 else None) for node in range(5)})
    ops = [store(by=(0, 1), settled=False)]
    assert violations(history(*ops, changes=[gone], swarm={2: 7}, end=[having()] * 3)) == []


def test_a_message_that_one_who_stayed_had():
    gone = Membership(T + 200_000, {2: 7}, {node: having(ALIVE) for node in range(5)})
    assert violations(history(store(by=(0, 1)), changes=[gone], swarm={2: 7}, end=[having()] * 3)) == ["lost"]


def test_a_message_that_must_follow_its_account_into_another_swarm():
    # The account is at 0, which swarm 1 is nearer to than 7; those who had it stay in swarm 7.
    split = {0: 7, 1: 7, 2: 7, 3: 1, 4: 1}
    change = Membership(T + 200_000, split, {node: having(ALIVE if node < 3 else None) for node in range(5)})
    ops = [store()]
    kept, moved = [having(ALIVE)] * 3 + [having()] * 2, [having(ALIVE)] * 5
    assert violations(history(*ops, changes=[change], swarm=split, end=kept)) == ["lost"]
    assert violations(history(*ops, changes=[change], swarm=split, end=moved)) == []


# ---- deletes stay deleted, expired messages go


def test_a_deleted_message_that_came_back():
    back = [having(ALIVE)] * 3
    assert violations(history(store(), delete(), end=back)) == ["undeleted"]
    assert violations(history(store(), delete(by=(1,)), end=back)) == ["undeleted"]


def test_a_deleted_message_that_came_back_after_all_who_knew_had_left():
    gone = Membership(T + 200_000, {2: 7}, {node: having(ghost=DEAD if node < 2 else None) for node in range(5)})
    ops, back = [store(), delete(by=(0, 1), settled=False)], [having(ALIVE)] * 3
    assert violations(history(*ops, changes=[gone], swarm={2: 7}, end=back)) == []


def test_a_message_that_was_stored_again_with_a_timestamp_its_delete_does_not_speak_of():
    before = op(Kind.DELETE_BEFORE, T + 100_000, value=T + 40_000)
    assert violations(history(store(), before, end=[having(ALIVE)] * 3)) == ["undeleted"]
    assert violations(history(store(), store(T + 50_000), before, end=[having(ALIVE)] * 3)) == []


def test_a_deleted_message_that_was_stored_again_may_be_there():
    assert violations(history(store(), delete(), store(T + 200_000), end=[having(ALIVE)] * 3)) == []


def test_a_message_that_outlived_its_expiry():
    assert violations(history(store(value=T + 20_000), end=[having(replace_expiry(T + 20_000))] * 3)) == ["outlived"]


def replace_expiry(expiry, version=0):
    return State(0, False, version, expiry)


def test_a_message_that_outlived_its_lowered_expiry():
    lowered = op(Kind.SHORTEN, T + 50_000, value=T + 80_000)
    known = Membership(
        T + 60_000, dict.fromkeys(range(3), 7), dict.fromkeys(range(5), having(replace_expiry(T + 80_000, version=1)))
    )
    assert violations(history(store(), lowered, changes=[known], end=[having(ALIVE)] * 3)) == ["outlived"]
    raised = op(Kind.EXTEND, T + 50_050)
    assert violations(history(store(), lowered, raised, changes=[known], end=[having(ALIVE)] * 3)) == []


def test_nothing_is_claimed_by_a_lowering_that_nobody_reported():
    unheard = op(Kind.SHORTEN, T + 50_000, value=T + 80_000, by=(), settled=False)
    reborn = State(1, False, 0, LONG)
    known = Membership(T + 60_000, dict.fromkeys(range(3), 7), dict.fromkeys(range(5), having(reborn)))
    assert violations(history(store(), unheard, changes=[known], end=[having(reborn)] * 3)) == []
    by_one = op(Kind.SHORTEN, T + 50_000, value=T + 80_000, by=(0,), settled=False)
    left = Membership(T + 60_000, {1: 7, 2: 7}, dict.fromkeys(range(5), having(reborn)))
    assert violations(history(store(), by_one, changes=[left], swarm={1: 7, 2: 7}, end=[having(reborn)] * 3)) == []


# ---- reads


def read(start, served=(), *, node=0, local=None, **changes):
    return Read(node, ALICE, 0, start, start + 50, start if local is None else local, dict(served), **changes)


def reading(*reads, ops=(), end=ALIVE):
    the_history = history(*ops, end=[having(end)] * 3)
    the_history.reads.extend(reads)
    return violations(the_history, converged=False)


def test_a_member_that_does_not_serve_what_it_stored():
    assert reading(read(T + 200), ops=[store()]) == ["forgotten"]
    assert reading(read(T + 200, node=2), ops=[store(by=(0, 1))]) == []
    assert reading(read(T + 50), ops=[store()]) == []  # the store was not over yet
    assert reading(read(T + 200, more=True), ops=[store()]) == []
    assert reading(read(T + 200), ops=[store(), delete(T + 210)]) == []


def test_a_member_that_serves_what_it_deleted():
    served = {NAME: LONG}
    assert reading(read(T + 200_000, served), ops=[store(), delete()]) == ["undeleted"]
    assert reading(read(T + 200_000, served, node=2), ops=[store(), delete(by=(0, 1))]) == []
    assert reading(read(T + 200_000, served), ops=[store(), delete(), store(T + 150_000)]) == []


def test_a_member_that_serves_what_has_expired():
    expiry = T + 20_000
    late, served = expiry + ALLOWANCE + 1, {NAME: expiry}
    assert reading(read(late, served), ops=[store(value=expiry)]) == ["expired"]
    assert reading(read(late - 1, served), ops=[store(value=expiry)]) == []
    assert reading(read(late, served, local=late - 1000), ops=[store(value=expiry)]) == []  # by its own clock
    assert reading(read(late, served, ready_since=late - 5000), ops=[store(value=expiry)]) == []  # it was down


def test_a_message_that_nobody_stored():
    assert reading(read(T, {"x" * 43: LONG})) == ["invented"]


# ---- tokens


TOKEN = b"t" * 36


def token_op(kind, start, by=(0, 1, 2), **changes):
    return Op(kind, ALICE, start, start + 100, {node: {} for node in by}, token=TOKEN, **changes)


def test_a_member_that_lets_a_revoked_token_read():
    the_history = history(token_op(Kind.REVOKE, T), end=[having()] * 3)
    the_history.token_reads.append(TokenRead(0, ALICE, TOKEN, T + 200, T + 250, refused=False))
    assert violations(the_history, converged=False) == ["token"]
    the_history.token_reads[0] = replace(the_history.token_reads[0], refused=True)
    assert violations(the_history, converged=False) == []
    the_history.ops.append(token_op(Kind.UNREVOKE, T + 180))
    assert violations(the_history, converged=False) == []  # it may count already


def test_a_member_that_never_heard_of_a_revocation():
    known = having(tokens={(ALICE, TOKEN): True}.items())
    change = Membership(T + 200_000, dict.fromkeys(range(3), 7), dict.fromkeys(range(5), known))
    end = [known, known, having()]
    assert violations(history(token_op(Kind.REVOKE, T), changes=[change], end=end)) == ["differ", "token"]


# ---- agreement


def test_members_that_differ_in_what_nobody_can_claim():
    unheard = store(by=(), settled=False)
    assert violations(history(unheard, end=[having(ALIVE), having(), having()])) == ["differ"]
    assert violations(history(unheard, end=[having(ALIVE), having(ALIVE), having(replace_expiry(LONG + 1))])) == [
        "differ"
    ]


def test_members_may_differ_about_what_expires_just_now():
    soon = replace_expiry(END + SLACK - 1)
    assert violations(history(store(by=(), settled=False), end=[having(soon), having(), having()])) == []


def test_members_of_different_swarms_may_differ():
    swarm = {0: 7, 1: 7, 2: 7, 3: 2**63}
    assert violations(history(store(), swarm=swarm, end=[having(ALIVE)] * 3)) == []
