"""The offset to the network's time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.network.clock import EARLIEST_MS, WINDOW, ClockOffset

NOW = 1_750_000_000_000


def observed(*voices: tuple[bytes, int]) -> ClockOffset:
    clock = ClockOffset()
    for node, t in voices:
        clock.observe(node, sent_ms=NOW, received_ms=NOW, t=t)
    return clock


def test_without_a_reply_the_local_clock_is_believed():
    assert ClockOffset().offset_ms == 0


def test_the_offset_is_taken_in_the_middle_between_sending_and_receiving():
    clock = ClockOffset()
    clock.observe(b"a", sent_ms=NOW, received_ms=NOW + 300, t=NOW - 1000)
    assert clock.offset_ms == 1150


def test_a_local_clock_that_is_behind_has_a_negative_offset():
    assert observed((b"a", NOW + 5000)).offset_ms == -5000


def test_the_offset_is_rounded_down():
    assert observed((b"a", NOW), (b"b", NOW + 1)).offset_ms == -1


@pytest.mark.parametrize("t", [None, "1750000000000", 1.75e12, True, EARLIEST_MS, 0, -1, 2**53, 2**80, [], {}])
def test_what_is_no_time_is_ignored(t):
    assert observed((b"a", t)).voices == 0


def test_one_node_has_one_voice():
    liar = [(b"liar", NOW - 10**9)] * 50
    assert observed((b"a", NOW), (b"b", NOW), *liar).offset_ms == 0


def test_only_the_last_nodes_count():
    old = [(b"old%d" % i, NOW - 9000) for i in range(WINDOW)]
    new = [(b"new%d" % i, NOW) for i in range(WINDOW)]
    assert observed(*old, *new).offset_ms == 0
    assert observed(*old, *new).voices == WINDOW


@given(st.lists(st.integers(EARLIEST_MS + 1, 2**53 - 1), max_size=4), st.integers(-2000, 2000))
def test_a_minority_of_liars_cannot_move_the_clock_beyond_the_honest(lies, drift):
    honest = [(b"honest%d" % i, NOW - drift - i) for i in range(6)]
    clock = observed(*honest, *((b"liar%d" % i, t) for i, t in enumerate(lies)))
    assert drift <= clock.offset_ms <= drift + 5


def test_forgetting_starts_anew():
    clock = observed((b"a", NOW - 1))
    clock.forget()
    assert clock.offset_ms == 0
