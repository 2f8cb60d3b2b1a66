"""How long a person waits when a node of a path dies, and what is never given up: in virtual time, over many seeds."""

import asyncio
import contextlib
import statistics

import pytest

from ramson.crypto.account import AccountKeys
from ramson.crypto.keys import Ed25519KeyPair
from ramson.network import Failure, Light, NetworkError, RequestFailed
from ramson.network.path_watch import TEST_TIMEOUT
from ramson.network.requests import SECOND_WAY_AFTER
from ramson.network.trace import (
    NodeDropped,
    PathBuilt,
    PathDropped,
    PathPatched,
    PathTested,
    RequestAnswered,
    RequestOvertaken,
    RequestSent,
    SeedFailed,
)
from ramson.protocol import onion, server_v4
from ramson.protocol import storage as r
from ramson.world import HttpResponse

KEYS = AccountKeys.from_entropy(b"sixteen bytes ok")
DAY = 86_400_000
SEEDS = range(50)
CLIENT = "10.200.0.1"


async def green(network):
    async with asyncio.timeout(300):
        async for status in network.watch():
            if status.light is Light.GREEN:
                return status.paths
    raise AssertionError


def off_the(paths, fake):
    return next(each.record for each in fake.nodes if not any(path.holds(each.keys.public) for path in paths))


def guards(paths):
    return {path.guard for path in paths}


def spread(times):
    return f"median {statistics.median(times):.1f} s, worst {max(times):.1f} s"


async def first_by(path, network, fake):
    """Ask a node off the paths until the request was first sent by `path`; its result and the seconds it took."""
    target = off_the(network.status.paths, fake)
    while True:
        began, seen = fake.sim.now, len(fake.events)
        result = await network.request(target, [r.Info()])
        sent = next(event for event in fake.events[seen:] if isinstance(event, RequestSent))
        if sent.path == path:
            return result, fake.sim.now - began


# ---- a node dies


@pytest.mark.parametrize("place", ["guard", "middle", "last"])
def test_a_message_after_a_node_of_its_path_died_arrives_within_five_seconds(make_fake, place):
    async def main(network, fake):
        paths = await green(network)
        await network.store(KEYS.id, b"before", ttl_ms=DAY)
        fake.by_key[getattr(paths[0], place).ed25519].silent = True
        began = fake.sim.now
        receipt = await network.store(KEYS.id, b"after", ttl_ms=DAY)
        assert receipt.stored_by
        return fake.sim.now - began

    times = []
    for seed in SEEDS:
        fake = make_fake(seed=seed)
        times.append(fake.run(lambda network, fake=fake: main(network, fake)))
    print(f"message after the {place} fell silent: {spread(times)}")
    assert statistics.median(times) < 5
    assert max(times) < 15


@pytest.mark.parametrize("places", [("middle", "last"), ("guard", "middle")])
def test_a_message_arrives_within_seconds_though_a_node_of_each_path_died(make_fake, places):
    async def main(network, fake):
        paths = await green(network)
        await network.store(KEYS.id, b"before", ttl_ms=DAY)
        for path, place in zip(paths, places, strict=True):
            fake.by_key[getattr(path, place).ed25519].silent = True
        contacted = len(fake.contacted)
        began = fake.sim.now
        while True:
            with contextlib.suppress(NetworkError):  # who sends messages tries again
                await network.store(KEYS.id, b"after", ttl_ms=DAY)
                break
        waited = fake.sim.now - began
        await asyncio.sleep(60)
        if "guard" not in places:
            met = {node.keys.public for _, node, _, _ in fake.contacted[contacted:]}
            assert met == {path.guard.ed25519 for path in paths}, "nobody else has learned this client's address"
        return waited

    times = []
    for seed in SEEDS:
        fake = make_fake(seed=seed)
        times.append(fake.run(lambda network, fake=fake: main(network, fake)))
        draws = [*fake.of_kind(PathBuilt), *fake.of_kind(PathPatched)]
        assert len(draws) <= 6
    print(f"message after {places[0]} and {places[1]} of the two paths fell silent: {spread(times)}")
    assert statistics.median(times) < 10
    assert sorted(times)[-3] < 20
    assert max(times) < (20 if "guard" not in places else 45)  # one of fifty finds all it tries silent, and tries again


@pytest.mark.parametrize("place", ["middle", "last"])
def test_a_path_in_use_is_mended_within_fifteen_seconds_and_keeps_its_guard(make_fake, place):
    async def main(network, fake):
        paths = await green(network)
        broken, dead = paths[0], getattr(paths[0], place).ed25519
        fake.by_key[dead].silent = True
        _, waited = await first_by(broken, network, fake)
        began = fake.sim.now - waited
        async for status in network.watch():
            if not any(path.holds(dead) for path in status.paths):
                break
        mended = fake.sim.now - began
        assert guards(status.paths) == guards(paths)
        await asyncio.sleep(10)
        assert fake.of_kind(PathTested)[-1].good, "the new nodes were tested too"
        return waited, mended

    outcomes = []
    for seed in SEEDS:
        fake = make_fake(seed=seed)
        outcomes.append(fake.run(lambda network, fake=fake: main(network, fake)))
        assert len(fake.of_kind(PathPatched)) == 1
        assert fake.of_kind(PathDropped) == []
    waits, mendings = zip(*outcomes, strict=True)
    print(f"{place} silent: a request by it {spread(waits)}; mended {spread(mendings)}")
    assert max(waits) < 5
    assert statistics.median(mendings) < 15
    assert max(mendings) < 20


def test_a_path_whose_guard_crashed_is_replaced_within_half_a_minute(make_fake):
    async def main(network, fake):
        paths = await green(network)
        fake.sim.crash(paths[0].guard.ip)
        began = fake.sim.now
        _, waited = await first_by(paths[0], network, fake)
        async for status in network.watch():
            if paths[0].guard not in guards(status.paths) and len(status.paths) == 2:
                return waited, fake.sim.now - began
        raise AssertionError

    outcomes = []
    for seed in SEEDS:
        fake = make_fake(seed=seed)
        outcomes.append(fake.run(lambda network, fake=fake: main(network, fake)))
    waits, mendings = zip(*outcomes, strict=True)
    print(f"guard crashed: a request by it {spread(waits)}; replaced {spread(mendings)}")
    assert statistics.median(waits) < 2
    assert statistics.median(mendings) < 30


def test_a_message_whose_swarm_has_a_silent_member_does_not_wait_for_it(make_fake):
    async def main(network, fake):
        await green(network)
        await network.swarm(KEYS.id)
        fake.swarm(KEYS.id.raw)[0].silent = True
        times = []
        for i in range(4):
            began = fake.sim.now
            await network.store(KEYS.id, b"message %d" % i, ttl_ms=DAY)
            times.append(fake.sim.now - began)
        return times

    times = []
    for seed in SEEDS:
        fake = make_fake(seed=seed)
        times += fake.run(lambda network, fake=fake: main(network, fake))
    print(f"message to a swarm with one silent member of six: {spread(times)}")
    assert statistics.median(times) < 1
    assert max(times) < 20  # two patiences: of a hundred seeds a few draw the silent one for both paths


def test_a_poll_does_not_wait_for_a_silent_member(fake):
    async def main(network):
        await green(network)
        await network.store(KEYS.id, b"hello", ttl_ms=DAY)
        fake.swarm(KEYS.id.raw)[0].silent = True
        times = []
        for _ in range(20):
            began = fake.sim.now
            polled = await network.poll(KEYS, [0], {})
            assert len(polled.messages[0]) == 1
            times.append(fake.sim.now - began)
        return times

    assert max(fake.run(main)) < 4


# ---- the second way


def test_the_second_way_is_another_path_and_the_trace_tells_both(fake):
    async def main(network):
        paths = await green(network)
        fake.by_key[paths[0].middle.ed25519].silent = True
        await first_by(paths[0], network, fake)
        await asyncio.sleep(30)

    fake.run(main)
    (second,) = (event for event in fake.of_kind(RequestSent) if event.repeats)
    (first,) = (event for event in fake.of_kind(RequestSent) if event.number == second.repeats)
    assert (first.destination, first.what) == (second.destination, second.what)
    assert not set(first.path.hops) & set(second.path.hops)
    answers = {event.number: event for event in fake.of_kind(RequestAnswered)}
    assert answers[second.number].failure is None
    assert answers[first.number].failure is Failure.PATH_TIMEOUT, "its own end is told when it comes"
    (overtaken,) = fake.of_kind(RequestOvertaken)
    assert (overtaken.number, overtaken.path, overtaken.by) == (first.number, first.path, second.number)
    assert 1000 * SECOND_WAY_AFTER <= overtaken.elapsed_ms < 1000 * SECOND_WAY_AFTER + 2000


def test_no_request_goes_through_its_destination_or_by_more_than_the_two_paths(make_fake):
    repeated = 0
    for seed in range(10):
        fake = make_fake(seed=seed, count=14, swarms=3)

        async def main(network, fake=fake):
            paths = await green(network)
            fake.by_key[paths[0].last.ed25519].silent = True
            for i in range(10):
                await network.store(KEYS.id, b"message %d" % i, ttl_ms=DAY)
                await network.poll(KEYS, [0], {})

        fake.run(main)
        sent = fake.of_kind(RequestSent)
        repeated += sum(bool(event.repeats) for event in sent)
        for event in sent:
            assert event.destination not in {f"{hop.ip}:{hop.https_port}" for hop in event.path.hops}
            assert len([each for each in sent if each.repeats == event.number != 0]) <= 1
    assert repeated


def test_a_request_by_the_only_path_goes_by_other_nodes_behind_its_guard_and_no_guard_is_sought(make_fake):
    fake = make_fake(count=9)
    for each in fake.nodes:
        each.unready = True
    fake.nodes[0].unready = False  # the only guard there is

    async def main(network):
        (path,) = network.status.paths
        fake.by_key[path.middle.ed25519].silent = True
        began = fake.sim.now
        await network.request(off_the([path], fake), [r.Info()])
        assert fake.sim.now - began < SECOND_WAY_AFTER + 2

    fake.run(main)
    assert len(fake.of_kind(PathBuilt)) == 1
    (second,) = (event for event in fake.of_kind(RequestSent) if event.repeats)
    (first,) = (event for event in fake.of_kind(RequestSent) if event.number == second.repeats)
    assert set(first.path.hops) & set(second.path.hops) == {first.path.guard}


def test_what_touches_a_whole_mailbox_is_sent_one_way_only(fake):
    async def main(network):
        paths = await green(network)
        await network.swarm(KEYS.id)
        for path in paths:
            fake.by_key[path.last.ed25519].silent = True
        with contextlib.suppress(NetworkError):
            await network.delete_all(KEYS)

    fake.run(main)
    assert any("delete_all" in event.what for event in fake.of_kind(RequestSent))
    assert not [event for event in fake.of_kind(RequestSent) if "delete_all" in event.what and event.repeats]


@pytest.mark.parametrize("repeatable", [False, True])
def test_a_server_gets_a_request_twice_only_if_the_caller_allows_it(fake, server_reply, repeatable):
    server = Ed25519KeyPair.from_seed(b"server".ljust(32))
    files = onion.ServerDestination("files.test", server.to_x25519().public)
    response = server_v4.ServerResponse(200, {"content-type": "text/plain"}, b"12")
    fake.outside = lambda request: HttpResponse(200, {}, server_reply(server, request, response))

    async def main(network):
        paths = await green(network)
        fake.by_key[paths[0].middle.ed25519].silent = True
        for _ in range(6):
            await network.call_server(files, server_v4.ServerRequest("GET", "/version"), repeatable=repeatable)

    fake.run(main)
    assert bool([event for event in fake.of_kind(RequestSent) if event.repeats]) is repeatable


# ---- tests of paths


def test_a_suspect_path_is_tested_by_itself_at_a_bounded_rate_and_not_used_meanwhile(make_fake):
    fake = make_fake(seed=12)  # by others the silent node is also the destination of a test, and both paths are suspect

    async def main(network):
        paths = await green(network)
        fake.by_key[paths[0].middle.ed25519].silent = True
        await first_by(paths[0], network, fake)
        seen = len(fake.events)
        for _ in range(30):
            await network.request(off_the(network.status.paths, fake), [r.Info(), r.Info()])
            await asyncio.sleep(0.3)
        return paths[0], fake.events[seen:]

    broken, after = fake.run(main)
    ours = [event for event in after if isinstance(event, RequestSent) and len(event.what) == 2]
    assert {event.path for event in ours} & {broken} == set()
    tests = [event for event in after if isinstance(event, RequestSent) and len(event.what) == 1]
    assert {event.what for event in tests} == {("info",)}
    assert [event.path for event in tests[:2]] == [broken] * 2
    assert len({event.destination for event in tests}) == len(tests)
    assert len(tests) <= 3
    assert fake.of_kind(PathTested)[0].good is False


def test_a_path_that_lost_one_request_is_cleared_by_the_first_test(fake):
    async def main(network):
        paths = await green(network)
        middle = fake.by_key[paths[0].middle.ed25519]
        middle.silent = True
        request = asyncio.create_task(first_by(paths[0], network, fake))
        await asyncio.sleep(SECOND_WAY_AFTER)
        middle.silent = False
        await request
        await asyncio.sleep(5)
        return paths, network.status.paths

    before, after = fake.run(main)
    assert before == after
    assert [event.good for event in fake.of_kind(PathTested)] in ([], [True])


# ---- what is not given up


@pytest.mark.parametrize("seed", range(6))
def test_a_client_that_goes_offline_again_and_again_burns_no_guard(make_fake, seed):
    fake = make_fake(seed=seed)

    async def main(network):
        paths = await green(network)
        entropy = fake.sim.world("10.200.0.9").entropy

        async def busy():
            while True:
                with contextlib.suppress(NetworkError):
                    await network.store(KEYS.id, b"hello", ttl_ms=DAY)
                with contextlib.suppress(NetworkError):
                    await network.poll(KEYS, [0], {})
                await asyncio.sleep(2)

        async with asyncio.TaskGroup() as group:
            work = [group.create_task(busy()) for _ in range(3)]
            for _ in range(8):
                await asyncio.sleep(entropy.uniform(1, 20))
                fake.sim.partition([[CLIENT]])
                await asyncio.sleep(entropy.choice([0.5, 2, 5, 12, 30, 90]))
                fake.sim.heal()
            await asyncio.sleep(60)
            for task in work:
                task.cancel()
        return paths, network.status.paths, len(network.nodes)

    before, after, known = fake.run(main)
    assert guards(before) == guards(after)
    assert known >= 24  # some nodes are thought dead until the next list


@pytest.mark.parametrize("seconds", [2.0, 3.0, 4.0])
def test_a_path_that_is_slow_is_not_given_up(make_fake, seconds):
    """One of its nodes takes this long for whatever it passes on or hands back."""
    for seed in range(4):
        fake = make_fake(seed=seed)

        async def main(network, fake=fake):
            paths = await green(network)
            for path in paths:
                fake.by_key[path.middle.ed25519].slow = seconds
            for _ in range(15):
                await network.request(off_the(paths, fake), [r.Info()])
                await network.poll(KEYS, [0], {})
            await asyncio.sleep(30)
            return paths, network.status.paths

        before, after = fake.run(main)
        assert before == after, seed
        assert fake.of_kind(NodeDropped) == []


@pytest.mark.parametrize("at_once", [1, 5])
def test_a_slow_path_beside_a_quick_one_is_passed_over_but_not_given_up(make_fake, at_once):
    for seed in range(4):
        fake = make_fake(seed=seed)

        async def main(network, fake=fake):
            paths = await green(network)
            fake.by_key[paths[0].middle.ed25519].slow = 6.5
            times = []

            async def ask(delay):
                await asyncio.sleep(delay)
                for _ in range(15):
                    began = fake.sim.now
                    await network.request(off_the(paths, fake), [r.Info()])
                    times.append(fake.sim.now - began)
                    await asyncio.sleep(3)

            async with asyncio.TaskGroup() as group:
                for i in range(at_once):
                    group.create_task(ask(0.7 * i))
            await asyncio.sleep(30)
            return paths, network.status.paths, times

        before, after, times = fake.run(main)
        assert before == after, seed
        assert max(times) < SECOND_WAY_AFTER + 2
        assert fake.of_kind(RequestOvertaken)
        assert any(not event.good for event in fake.of_kind(PathTested)), "slower than a test waits"


def test_a_silent_destination_costs_no_path_its_nodes(fake):
    async def main(network):
        paths = await green(network)
        for _ in range(4):
            target = next(node for node in network.nodes if not any(path.holds(node.ed25519) for path in paths))
            fake.by_key[target.ed25519].silent = True
            with pytest.raises(RequestFailed):
                await network.request(target, [r.Info()])
            await asyncio.sleep(5)
        return paths, network.status.paths

    before, after = fake.run(main)
    assert before == after


# ---- seeds


def test_a_network_with_one_path_for_us_asks_its_seeds_less_and_less(make_fake):
    fake = make_fake(count=12)
    for each in fake.nodes[1:]:
        each.unready = True

    async def main(network):
        await asyncio.sleep(3600)
        first = len(fake.seed_queries)
        await asyncio.sleep(3600)
        return network.status.light, first, len(fake.seed_queries) - first

    light, first, second = fake.run(main)
    assert light is Light.ORANGE
    assert first < 60  # three seeds; every minute would be 180
    assert second <= 3 * 9


def test_without_any_path_it_goes_on_trying_every_minute(fake):
    for address in ("10.100.0.1", "10.100.0.2", "10.100.0.3"):
        fake.sim.crash(address)

    async def main():
        async with fake.client():
            await asyncio.sleep(3600)

    fake.sim.run(main())
    assert len(fake.of_kind(SeedFailed)) > 12 * 45


def test_the_tests_of_a_path_take_longer_than_any_reply_may():
    from ramson.network.requests import NODE_TIMEOUT

    assert SECOND_WAY_AFTER + 2 * TEST_TIMEOUT > NODE_TIMEOUT
