"""Getting into the network and staying there: seeds, guards, paths, the light; in virtual time."""

import asyncio
import contextlib
import dataclasses
import random

import pytest

from ramson.crypto.account import AccountKeys
from ramson.errors import LocalError
from ramson.network import Closed, Light, MemoryCache, NetworkError, NetworkProfile, NoPath, NotRunning, SeedUrl
from ramson.network.cache import decode
from ramson.network.paths import subnets
from ramson.network.trace import (
    GuardTested,
    HopChosen,
    PathBuilt,
    PathDropped,
    PoolLoaded,
    RequestSent,
    SeedFailed,
    Source,
)
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.storage import Info
from ramson.world import HttpResponse

KEYS = AccountKeys.from_entropy(b"sixteen bytes ok")
DAY = 86_400_000
SEEDS = ("10.100.0.1", "10.100.0.2", "10.100.0.3")
CLIENT = "10.200.0.1"


async def green(network):
    async with asyncio.timeout(300):
        async for status in network.watch():
            if status.light is Light.GREEN:
                return status
    raise AssertionError


async def red(network):
    async with asyncio.timeout(300):
        async for status in network.watch():
            if status.light is Light.RED:
                return status
    raise AssertionError


# ---- getting in


def test_two_paths_stand_and_the_light_is_green(fake):
    status = fake.run(green)
    hops = [hop for path in status.paths for hop in path.hops]
    assert len(set(hops)) == len(subnets(hops, 24)) == 6


def test_seeds_are_asked_as_others_ask_them(fake):
    fake.run(green)
    (query, *_) = fake.seed_queries
    assert (query.method, query.target) == ("POST", "/json_rpc")
    assert (query.headers["user-agent"], query.headers["accept-language"]) == ("WhatsApp", "en-us")
    assert b"limit" not in query.body


def test_one_seed_is_enough(fake):
    for address in SEEDS[1:]:
        fake.sim.crash(address)
    assert fake.run(green).light is Light.GREEN


def test_a_seed_with_another_key_is_not_believed(fake):
    strangers = tuple(SeedUrl(seed.url, frozenset([b"?" * 32])) for seed in fake.profile.seeds)

    async def main():
        async with fake.client(profile=dataclasses.replace(fake.profile, seeds=strangers)) as network:
            await asyncio.sleep(60)
            return network.status

    status = fake.sim.run(main())
    assert status.light is Light.RED
    assert "not with the right key" in status.reason
    assert fake.seed_queries == []


def test_without_seeds_the_light_is_red_and_says_so_until_one_comes_back(fake):
    for address in SEEDS:
        fake.sim.crash(address)

    async def main():
        async with fake.client() as network:
            await asyncio.sleep(60)
            before = network.status
            fake.sim.restart(SEEDS[2])
            return before, await green(network)

    before, after = fake.sim.run(main())
    assert before.light is Light.RED
    assert "seed" in before.reason
    assert "trying again" in before.reason
    assert "another network" in before.reason
    assert after.light is Light.GREEN
    assert len(fake.of_kind(SeedFailed)) >= 12


def test_a_seed_that_lists_too_little_is_passed_over(make_fake):
    fake = make_fake(count=8)

    async def main():
        async with fake.client() as network:
            await asyncio.sleep(60)
            return network.status

    assert fake.sim.run(main()).light is Light.RED


def test_a_file_without_seeds_is_a_network_too(make_fake):
    fake = make_fake(count=6, swarms=1)
    listed = tuple(NetworkNode(f"n{i}", NodeState.ACTIVE, each.record) for i, each in enumerate(fake.nodes))
    profile = NetworkProfile.from_file(NetworkFile(nodes=listed))

    async def main(network):
        return await network.store(KEYS.id, b"hello", ttl_ms=DAY)

    assert len(fake.run(main, profile=profile).stored_by) == 6
    assert fake.seed_queries == []
    assert fake.of_kind(PoolLoaded)[0].source is Source.BUNDLED


def test_the_trace_shows_how_a_path_comes_to_be(fake):
    fake.run(green)
    built = fake.of_kind(PathBuilt)[0].path
    at = fake.events.index(PathBuilt(built))
    assert fake.events[at - 3 : at] == [HopChosen(i, hop) for i, hop in enumerate(built.hops, start=1)]
    assert GuardTested(built.guard, True) in fake.events


def test_a_trace_that_fails_harms_nothing(fake, caplog):
    def trace(_event):
        raise RuntimeError("trace")

    fake.events = type("Broken", (list,), {"append": trace})()
    assert fake.run(green).light is Light.GREEN
    assert "a trace failed" in caplog.text


# ---- guards


def test_a_node_that_is_not_ready_becomes_no_guard(fake):
    unready = random.Random(3).sample(fake.nodes, 20)
    for each in unready:
        each.unready = True
    status = fake.run(green)
    assert not {path.guard.ed25519 for path in status.paths} & {each.keys.public for each in unready}


def test_guards_are_kept_from_one_run_to_the_next_without_asking_seeds(fake):
    async def main():
        async with fake.client() as network:
            first = await green(network)
        for address in SEEDS:
            fake.sim.crash(address)
        asked = len(fake.seed_queries)
        async with fake.client() as network:
            second = await green(network)
        return first, second, len(fake.seed_queries) - asked

    first, second, asked = fake.sim.run(main())
    assert {path.guard for path in first.paths} == {path.guard for path in second.paths}
    assert asked == 0


def test_a_remembered_guard_that_is_down_is_replaced(fake):
    async def main():
        async with fake.client() as network:
            first = await green(network)
        lost = fake.by_key[first.paths[0].guard.ed25519]
        fake.sim.crash(lost.record.ip)
        async with fake.client() as network:
            second = await green(network)
            await asyncio.sleep(30)
        saved = decode(fake.cache.data, fake.profile.fingerprint, now_ms=fake.now_ms())
        assert set(saved.guards) == {path.guard.ed25519 for path in second.paths}
        return lost.record, first.paths[1].guard, {path.guard for path in second.paths}

    lost, kept, guards = fake.sim.run(main())
    assert kept in guards
    assert lost not in guards


def test_being_offline_makes_no_guard_forgotten(fake):
    async def main():
        async with fake.client() as network:
            first = await green(network)
        fake.sim.partition([[CLIENT]])
        async with fake.client() as network:
            await asyncio.sleep(600)
            offline = network.status
            fake.sim.heal()
            second = await green(network)
        return first, offline, second

    first, offline, second = fake.sim.run(main())
    assert offline.light is Light.RED
    assert "trying again" in offline.reason
    assert {path.guard for path in first.paths} == {path.guard for path in second.paths}


def test_a_cache_of_another_network_is_not_used(fake):
    async def main():
        async with fake.client() as network:
            await green(network)
        fake.seed_queries.clear()
        other = dataclasses.replace(fake.profile, seeds=fake.profile.seeds[:2])
        async with fake.client(profile=other) as network:
            await green(network)

    fake.sim.run(main())
    assert fake.seed_queries


def test_a_damaged_cache_is_not_used(fake):
    fake.cache = MemoryCache(b"{")
    assert fake.run(green).light is Light.GREEN


# ---- staying


def test_a_path_whose_guard_dies_is_replaced(fake):
    async def main(network):
        first = await green(network)
        guard = first.paths[0].guard
        fake.sim.crash(guard.ip)
        destination = fake.nodes[29].record
        for _ in range(20):
            await network.request(destination, [Info()])
        return guard, await green(network)

    guard, after = fake.run(main)
    assert guard not in {path.guard for path in after.paths}
    assert guard in {event.path.guard for event in fake.of_kind(PathDropped)}


def test_offline_the_light_turns_red_and_green_again_by_itself(fake):
    async def main(network):
        before = await green(network)
        fake.sim.partition([[CLIENT]])
        with pytest.raises(NetworkError):
            await network.request(fake.nodes[29].record, [Info()])
        offline = await red(network)
        fake.sim.heal()
        return before, offline, await green(network)

    before, offline, after = fake.run(main)
    assert "online" in offline.reason
    assert {path.guard for path in before.paths} == {path.guard for path in after.paths}


def test_a_busy_client_that_is_offline_for_minutes_keeps_its_guards_and_its_list(fake):
    async def main(network):
        before = await green(network)
        known = network.nodes

        async def busy():
            while True:
                with contextlib.suppress(NetworkError):
                    await network.store(KEYS.id, b"hello", ttl_ms=DAY)
                await asyncio.sleep(1)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(busy()) for _ in range(8)]
            await asyncio.sleep(10)
            fake.sim.partition([[CLIENT]])
            await asyncio.sleep(240)
            fake.sim.heal()
            after = await green(network)
            for task in tasks:
                task.cancel()
        return before, known, after, network.nodes

    before, known, after, left = fake.run(main)
    assert {path.guard for path in before.paths} == {path.guard for path in after.paths}
    assert len(known) - len(left) <= 1


def test_if_both_guards_die_others_are_found(fake):
    async def main(network):
        before = await green(network)
        for path in before.paths:
            fake.sim.crash(path.guard.ip)
        with contextlib.suppress(NetworkError):
            await network.store(KEYS.id, b"hello", ttl_ms=DAY)
        await asyncio.sleep(120)
        return before, await green(network), await network.store(KEYS.id, b"hello", ttl_ms=DAY)

    before, after, receipt = fake.run(main)
    assert not {path.guard for path in before.paths} & {path.guard for path in after.paths}
    assert receipt.stored_by


def test_a_silent_destination_does_not_turn_the_light(fake):
    async def main(network):
        await green(network)
        lights = []

        async def watch():
            async for status in network.watch():
                lights.append(status.light)  # noqa: PERF401 - the watcher is cancelled in the middle

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            silent = next(
                each for each in fake.nodes if not any(path.holds(each.keys.public) for path in network.status.paths)
            )
            silent.silent = True
            with pytest.raises(NetworkError):
                await network.request(silent.record, [Info()])
            await asyncio.sleep(60)
            watching.cancel()
        return lights

    assert fake.run(main) == [Light.GREEN]


def test_without_any_path_a_request_gives_up_and_says_why(fake):
    async def main():
        fake.sim.partition([[CLIENT]])
        async with fake.client() as network:
            with pytest.raises(NoPath) as caught:
                await network.store(KEYS.id, b"hello", ttl_ms=DAY)
            return caught.value

    error = fake.sim.run(main())
    assert str(error)
    assert error.remedy


# ---- the list


def test_the_list_is_renewed_through_the_network(fake):
    async def main(network):
        await green(network)
        for address in SEEDS:
            fake.sim.crash(address)
        gone = fake.nodes[29].keys.public
        del fake.by_key[gone]
        await asyncio.sleep(400)
        return gone in {node.ed25519 for node in network.nodes}

    assert fake.run(main) is False
    assert fake.of_kind(PoolLoaded)[-1] == PoolLoaded(Source.NODES, 29)


def test_a_small_network_asks_its_seeds_again(make_fake):
    fake = make_fake(count=16)

    async def main(network):
        await asyncio.sleep(400)

    fake.run(main)
    assert [event.source for event in fake.of_kind(PoolLoaded)] == [Source.SEEDS, Source.SEEDS]
    assert not any("oxend_request" in event.what for event in fake.of_kind(RequestSent))


def test_lists_on_which_nodes_do_not_agree_are_not_taken(fake):
    def lie(request):
        if request.method.name == "oxend_request":
            return 200, {"result": {"service_node_states": []}}
        return None

    for each in fake.nodes:
        each.says = lie

    async def main(network):
        await asyncio.sleep(500)

    fake.run(main)
    assert {event.source for event in fake.of_kind(PoolLoaded)} == {Source.SEEDS}


# ---- what nobody may learn


def test_only_guards_are_contacted_and_nothing_they_can_read_names_the_account(fake):
    async def main(network):
        await network.store(KEYS.id, b"hello", ttl_ms=DAY)
        await network.poll(KEYS, [0], {})
        await asyncio.sleep(400)

    fake.run(main)
    tested = {event.node.ed25519 for event in fake.of_kind(GuardTested)}
    used = {event.path.guard.ed25519 for event in fake.of_kind(RequestSent)}
    for peer, node, target, body in fake.contacted:
        assert peer == CLIENT
        assert target == "/onion_req/v2"
        assert node.keys.public in used | tested
        assert KEYS.id.hex.encode() not in body
        assert KEYS.id.raw not in body
    assert used <= tested
    assert len(fake.contacted) > 5


def test_guards_are_tested_by_onion_requests_like_others(fake):
    fake.run(green)
    sizes = [len(body) for _, _, target, body in fake.contacted]
    assert {target for _, _, target, _ in fake.contacted} == {"/onion_req/v2"}
    assert not fake.of_kind(RequestSent)  # so all of these were tests
    assert len(set(sizes)) == len(sizes) >= 2
    assert {name for each in fake.nodes for name in each.served} == {"info"}


def test_no_request_goes_through_its_destination(fake):
    async def main(network):
        for each in fake.nodes * 2:
            await network.request(each.record, [Info()])

    fake.run(main)
    sent = fake.of_kind(RequestSent)
    assert len(sent) >= 60
    for event in sent:
        assert event.destination not in {f"{hop.ip}:{hop.https_port}" for hop in event.path.hops}


def test_nothing_private_is_logged(fake, caplog):
    caplog.set_level("DEBUG")
    for each in fake.nodes[:10]:
        each.relays = HttpResponse(500, {}, b"broken")

    async def main(network):
        for _ in range(5):
            with contextlib.suppress(NetworkError):
                await network.store(KEYS.id, b"a secret text", ttl_ms=DAY)

    fake.run(main)
    for private in (KEYS.id.hex, CLIENT, "a secret text", "10.1."):
        assert private not in caplog.text


# ---- its life


def test_a_request_made_at_once_waits_for_the_first_path(fake):
    async def main():
        async with fake.client() as network:
            return await network.store(KEYS.id, b"hello", ttl_ms=DAY)

    assert fake.sim.run(main()).stored_by


def test_outside_async_with_it_says_so(fake):
    async def main():
        network = fake.client()
        with pytest.raises(NotRunning):
            await network.store(KEYS.id, b"hello", ttl_ms=DAY)
        async with network:
            pass
        with pytest.raises(NotRunning):
            await network.swarm(KEYS.id)

    fake.sim.run(main())


def test_whoever_waits_for_an_answer_when_it_is_closed_is_told_so(fake):
    async def main():
        async with fake.client() as network:
            await green(network)
            for each in fake.nodes:
                each.silent = True
            waiting = asyncio.create_task(network.request(fake.nodes[29].record, [Info()]))
            await asyncio.sleep(1)
        with pytest.raises(Closed):
            await waiting

    fake.sim.run(main())


@pytest.mark.parametrize("moment", range(40))
def test_it_can_be_closed_at_any_moment(make_fake, moment):
    fake = make_fake(seed=moment)

    async def main():
        async with fake.client() as network:
            for path in (await green(network)).paths:
                fake.by_key[path.middle.ed25519].silent = True

            async def busy():
                with contextlib.suppress(NetworkError):
                    await network.store(KEYS.id, b"hello", ttl_ms=DAY)

            tasks = [asyncio.create_task(busy()) for _ in range(3)]
            await asyncio.sleep(0.35 * moment)
            for _ in range(moment % 4):
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return [task.get_name() for task in asyncio.all_tasks() if task.get_name() in {"onion request", "path test"}]

    assert fake.sim.run(main()) == []


def test_the_callers_own_error_comes_out_as_it_is(fake):
    async def main(_network):
        raise LocalError("mine")

    with pytest.raises(LocalError, match="mine"):
        fake.run(main)


def test_leaving_ends_every_task(fake):
    async def main():
        async with fake.client() as network:
            await green(network)
        return [task.get_name() for task in asyncio.all_tasks() if "builder" in task.get_name()]

    assert fake.sim.run(main()) == []


def test_a_cache_that_cannot_be_written_harms_nothing(fake, caplog):
    class Full(MemoryCache):
        def save(self, data):
            raise OSError(28, "No space left on device")

    fake.cache = Full()
    assert fake.run(green).light is Light.GREEN
    assert "could not be saved" in caplog.text


def test_an_error_of_its_own_ends_the_callers_block(fake):
    async def broken():
        raise RuntimeError("a mistake of ours")

    async def main():
        network = fake.client()
        network._builder._build = broken
        async with network:
            await asyncio.sleep(1000)

    with pytest.raises(ExceptionGroup) as caught:
        fake.sim.run(main())
    assert caught.group_contains(RuntimeError, match="a mistake of ours")
