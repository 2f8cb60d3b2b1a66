"""The token bucket: storage-rpc.md §5 429."""

import time

from ramson.node.ratelimit import RateLimiter


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def now(self):
        raise AssertionError("wall time may jump")

    def monotonic(self):
        return self.seconds


def allowed(limiter, address, count):
    return sum(limiter.allow(address) for _ in range(count))


def test_600_at_once_then_300_a_second():
    clock = Clock()
    limiter = RateLimiter(clock)
    assert allowed(limiter, "192.0.2.1", 2000) == 600
    clock.seconds += 1
    assert allowed(limiter, "192.0.2.1", 2000) == 300
    clock.seconds += 0.5
    assert allowed(limiter, "192.0.2.1", 2000) == 150
    clock.seconds += 1000
    assert allowed(limiter, "192.0.2.1", 2000) == 600


def test_addresses_do_not_share():
    limiter = RateLimiter(Clock())
    assert allowed(limiter, "192.0.2.1", 601) == allowed(limiter, "192.0.2.2", 601) == 600


def test_a_network_of_ipv6_is_one_address():
    limiter = RateLimiter(Clock())
    assert sum(limiter.allow(f"2001:db8:0:1::{n:x}") for n in range(1000)) == 600
    assert limiter.allow("2001:db8:0:2::1")
    assert len(limiter) == 2


def test_the_longest_unused_is_forgotten_when_there_are_too_many():
    limiter = RateLimiter(Clock(), addresses=2)
    allowed(limiter, "a", 600)
    allowed(limiter, "b", 600)
    assert not limiter.allow("a")
    assert limiter.allow("c")
    assert len(limiter) == 2
    assert not limiter.allow("a")
    assert limiter.allow("b")


def test_full_buckets_are_swept():
    clock = Clock()
    limiter = RateLimiter(clock)
    limiter.allow("old")
    clock.seconds = 1.5
    limiter.allow("new")
    clock.seconds = 2.0
    limiter.sweep()
    assert len(limiter) == 1
    clock.seconds = 3.5
    limiter.sweep()
    assert len(limiter) == 0


def test_it_takes_constant_time_however_many_addresses():
    clock = Clock()
    limiter = RateLimiter(clock)
    start = time.process_time()
    for i in range(100_000):
        limiter.allow(str(i))
    assert len(limiter) == 10_000
    assert time.process_time() - start < 5
