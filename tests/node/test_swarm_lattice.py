"""Merging: any order, any number of times, and honest members with proofs end up alike."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.node.mailbox.lattice import (
    KEPT_REVOCATIONS,
    KEPT_TOKENS,
    LEAP,
    State,
    TokenState,
    Warrant,
    admits,
    fresh,
    join,
    join_tokens,
    revoked_tokens,
    settle,
)

numbers = st.integers(0, 4)
alive = st.builds(lambda b, v, e: State(b, dead=False, version=v, expiry=e), numbers, numbers, numbers)
states = st.none() | alive | alive.map(State.killed)
names = st.binary(min_size=1, max_size=1)
token_states = st.builds(TokenState, st.integers(0, 9), st.booleans())
tokens = st.dictionaries(names, token_states, max_size=30).map(lambda t: join_tokens(t, {}))
NOW = 1000
ALWAYS = 2**60


@given(states, states, states)
def test_states_form_a_lattice(a, b, c):
    assert join(a, b) == join(b, a)
    assert join(a, join(b, c)) == join(join(a, b), c)
    assert join(a, a) == a


@given(tokens, tokens, tokens)
def test_tokens_form_a_lattice(a, b, c):
    assert join_tokens(a, b) == join_tokens(b, a)
    assert join_tokens(a, join_tokens(b, c)) == join_tokens(join_tokens(a, b), c)
    assert join_tokens(a, a) == a


@settings(deadline=None)
@given(st.data())
def test_tokens_form_a_lattice_when_the_oldest_are_forgotten(data):
    def many():
        seed = data.draw(st.integers(0, 2**32))
        chance = random.Random(seed)
        names = [b"%d" % number for number in chance.sample(range(300), 150)]
        return join_tokens({n: TokenState(chance.randrange(99), chance.random() < 0.5) for n in names}, {})

    a, b, c = many(), many(), many()
    assert join_tokens(a, b) == join_tokens(b, a)
    assert join_tokens(a, join_tokens(b, c)) == join_tokens(join_tokens(a, b), c)
    assert len(join_tokens(a, b)) == KEPT_TOKENS
    assert len(revoked_tokens(a)) <= KEPT_REVOCATIONS


@given(alive)
def test_every_local_change_is_ahead_of_what_was(state):
    assert state.killed() > state
    assert state.killed() > state.lowered(0) > state
    assert state.stored(state.expiry + 1) > state
    assert state.stored(0) == state
    assert state.killed().stored(0) > state.killed()


def test_a_deleted_message_stays_deleted_whatever_became_of_its_other_copies():
    assert join(fresh(5).killed(), fresh(10**9).lowered(7)) == fresh(5).killed()


def test_only_a_rising_expiry_needs_no_warrant():
    assert admits(None, fresh(5000), None, 0, NOW)
    assert admits(fresh(2000), fresh(5000), None, 0, NOW)
    assert admits(fresh(9).lowered(3), fresh(9).lowered(4), None, 0, NOW)
    for greater in (fresh(5000).killed(), fresh(5000).lowered(1)):
        assert not admits(fresh(5000), greater, None, 0, NOW)
        assert not admits(None, greater, None, 0, NOW)


def test_a_message_that_was_stored_again_needs_no_warrant_unless_it_lives_shorter():
    again = State(1, dead=False, version=0, expiry=5000)
    for known in (None, fresh(9000).killed(), fresh(5000), fresh(9000).lowered(5000)):
        assert admits(known, again, None, 0, NOW)
        assert admits(known, again, Warrant(0, 77), 78, NOW)  # deleted by a request that does not speak of it any more
    assert not admits(fresh(5001), again, None, 0, NOW)
    assert admits(fresh(5001), again, Warrant(0, ALWAYS), 0, NOW)
    assert not admits(fresh(5000), again.lowered(4000), None, 0, NOW)


def test_a_warrant_allows_as_much_as_it_says():
    lowered = State(0, dead=False, version=1, expiry=3000)
    assert admits(fresh(5000), lowered, Warrant(3000, ALWAYS), 0, NOW)
    assert admits(fresh(5000), lowered._replace(expiry=4000), Warrant(3000, ALWAYS), 0, NOW)
    assert not admits(fresh(5000), lowered._replace(expiry=2999), Warrant(3000, ALWAYS), 0, NOW)
    # Called dead, a message must have reached the expiry it was lowered to; a delete is a floor of 0.
    assert not admits(fresh(5000), fresh(5000).killed(), Warrant(3000, ALWAYS), 0, NOW)
    assert admits(fresh(5000), fresh(5000).killed(), Warrant(0, ALWAYS), 0, NOW)
    # It speaks of messages that were there when it was signed.
    assert admits(fresh(5000), fresh(5000).killed(), Warrant(0, 77), 77, NOW)
    assert not admits(fresh(5000), fresh(5000).killed(), Warrant(0, 77), 78, NOW)


def test_a_message_that_was_stored_again_and_lives_shorter_keeps_the_longer_life():
    again = State(1, dead=False, version=0, expiry=5000)
    assert settle(fresh(9000), again, None, 0, NOW) == again._replace(expiry=9000)
    assert settle(fresh(9000), again, Warrant(0, ALWAYS), 0, NOW) == again


def test_a_message_that_its_delete_does_not_speak_of_lives_on_after_it():
    dead = fresh(5000).killed()
    assert settle(fresh(9000), dead, Warrant(0, 77), 77, NOW) == dead
    assert settle(fresh(9000), dead, Warrant(0, 77), 78, NOW) == State(1, dead=False, version=0, expiry=9000)
    assert settle(fresh(9000), dead, None, 78, NOW) is None


def test_nobody_can_use_up_the_numbers_of_births():
    for state in (State(LEAP + 1, dead=True, version=0, expiry=0), State(LEAP + 1, dead=False, version=0, expiry=9000)):
        assert settle(None, state, Warrant(0, ALWAYS), 0, NOW) is None
        assert settle(fresh(5000), state, Warrant(0, ALWAYS), 0, NOW) is None
        assert settle(State(1, dead=False, version=0, expiry=5000), state, Warrant(0, ALWAYS), 0, NOW) == state


class Member:
    """One honest member's copy of a message, its timestamp, and what the last proof of it allows."""

    def __init__(self):
        self.state, self.timestamp, self.warrant = None, 0, None

    def do(self, what, value, time):
        if what == "store":
            if self.state is None or self.state.dead:
                self.timestamp = time
            self.state = fresh(value) if self.state is None else self.state.stored(value)
        elif self.state is None or self.state.dead:
            pass
        elif what == "delete":
            self.state, self.warrant = self.state.killed(), Warrant(0, ALWAYS)
        elif what == "delete_before":
            if self.timestamp <= value - NOW:
                self.state, self.warrant = self.state.killed(), Warrant(0, value - NOW)
        elif value < self.state.expiry:
            self.state, self.warrant = self.state.lowered(value), Warrant(value, ALWAYS)
        else:
            self.state = self.state._replace(expiry=value)

    def hear(self, other):
        if other.state is None or (self.state is not None and other.state <= self.state):
            return
        timestamp = other.timestamp if self.state is None else self.timestamp
        state = settle(self.state, other.state, other.warrant, timestamp, NOW)
        if state is not None:
            if self.state is None or self.state[:3] != state[:3]:
                self.warrant = other.warrant
            if self.state is None or (self.state.dead and not state.dead):
                self.timestamp = other.timestamp
            self.state = state


deeds = st.tuples(
    st.sampled_from(["store", "delete", "delete_before", "expire"]),
    st.integers(NOW + 1, NOW + 20),
    st.sets(st.integers(0, 3), min_size=1),  # whom it reached
)


@settings(max_examples=400)
@given(st.lists(deeds | st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12), st.randoms())
def test_honest_members_end_up_alike_whatever_reached_whom(history, chance):
    members = [Member() for _ in range(4)]
    for time, event in enumerate(history):
        if len(event) == 2:
            members[event[0]].hear(members[event[1]])
        else:
            for place in event[2]:
                members[place].do(event[0], event[1], time)
    pairs = [(a, b) for a in members for b in members if a is not b]
    for _ in range(6):
        chance.shuffle(pairs)
        for a, b in pairs:
            a.hear(b)
    assert [member.state for member in members] == [members[0].state] * 4
