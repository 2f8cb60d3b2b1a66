"""Starting from signed lists, and what a lying seed can and cannot do, in virtual time."""

import asyncio
import dataclasses
from dataclasses import replace

import pytest

from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import RemoteError
from ramson.network import Light, MemoryCache
from ramson.network.cache import Snapshot, decode, encode
from ramson.network.judge import Standing, Why
from ramson.network.trace import ListAdopted, ListFailed, ListRefused, PoolLoaded, Source
from ramson.protocol import node_list
from ramson.protocol.node_list import DAY_MS, ListAuthority, SignedNodeList, state
from ramson.protocol.nodes import NodeList, NodeRecord

SEEDS = ("10.100.0.1", "10.100.0.2", "10.100.0.3")
SIGNERS = [Ed25519KeyPair.from_seed(b"signer" + bytes([n]) * 26) for n in range(3)]
AUTHORITY = ListAuthority("testing", frozenset(each.public for each in SIGNERS), 2)


async def green(network):
    async with asyncio.timeout(300):
        async for status in network.watch():
            if status.light is Light.GREEN:
                return status
    raise AssertionError


@dataclasses.dataclass(frozen=True)
class Channel:
    """A channel that gives these bytes."""

    data: bytes | None
    name: str = "mirror"
    local: bool = False

    async def fetch(self, _entry):
        if self.data is None:
            raise RemoteError("nothing here")
        return self.data


def written(fake, records=None, *, signers=2, days_old=1, part=False) -> bytes:
    records = [each.record for each in fake.nodes] if records is None else records
    signed = SignedNodeList(state("testing", records, height=1, time_ms=fake.now_ms() - days_old * DAY_MS, part=part))
    for each in SIGNERS[:signers]:
        signed = signed.signed_by(each)
    return node_list.encode(signed)


def with_channels(fake, *channels):
    return dataclasses.replace(fake.profile, signers=AUTHORITY, lists=channels)


def kill_seeds(fake):
    for address in SEEDS:
        fake.sim.crash(address)


def own_nodes(count=40) -> list[NodeRecord]:
    """Nodes of a liar, which nobody else lists."""
    return [
        NodeRecord(keys.public, keys.to_x25519().public, b"L" * 32, f"10.66.{i}.1", 22021, 22020, 7)
        for i, keys in ((i, Ed25519KeyPair.from_seed(b"liar" + bytes([i]) * 28)) for i in range(count))
    ]


def lie(fake, *seeds):
    """Let some seeds list a liar's nodes."""
    for address in seeds:
        fake.lies[address] = NodeList(tuple(own_nodes()), 100, "", (19, 4))


# ---- without seeds


@pytest.mark.parametrize("local", [True, False])
def test_a_signed_list_by_any_channel_is_a_way_in_without_seeds(fake, local):
    kill_seeds(fake)
    status = fake.run(green, profile=with_channels(fake, Channel(written(fake), local=local)))
    assert status.light is Light.GREEN
    assert fake.of_kind(PoolLoaded)[0] == PoolLoaded(Source.LIST, 30)
    assert fake.of_kind(ListAdopted) == [ListAdopted("mirror", Standing.SIGNED, stale=False)]


def test_with_a_fresh_list_on_the_device_no_seed_and_no_channel_is_asked(fake):
    profile = with_channels(fake, Channel(written(fake), "shipped", local=True), Channel(None))
    fake.run(green, profile=profile)
    assert fake.seed_queries == []
    assert fake.of_kind(ListFailed) == []


def test_a_starter_list_is_enough_and_the_whole_list_comes_from_its_nodes(fake):
    kill_seeds(fake)
    some = [each.record for each in fake.nodes[:20]]

    async def main(network):
        await green(network)
        assert len(network.nodes) == 20
        await asyncio.sleep(120)
        return len(network.nodes)

    profile = with_channels(fake, Channel(written(fake, some, part=True), local=True))
    assert fake.run(main, profile=profile) == 30
    assert fake.of_kind(PoolLoaded)[-1].source is Source.NODES


def test_an_unsigned_list_is_a_way_in_too_but_only_provisionally(fake):
    kill_seeds(fake)
    fake.run(green, profile=with_channels(fake, Channel(written(fake, signers=1), "imported", local=True)))
    assert fake.of_kind(ListAdopted) == [ListAdopted("imported", Standing.PROVISIONAL, stale=False)]


def test_a_channel_that_gives_nothing_or_rubbish_is_passed_over(fake):
    channels = Channel(None, "a"), Channel(b"rubbish", "b"), Channel(written(fake), "c")
    kill_seeds(fake)
    fake.run(green, profile=with_channels(fake, *channels))
    assert {event.channel for event in fake.of_kind(ListFailed)} == {"a", "b"}


def test_an_expired_list_is_not_used(fake):
    kill_seeds(fake)

    async def main():
        async with fake.client(profile=with_channels(fake, Channel(written(fake, days_old=181)))) as network:
            await asyncio.sleep(60)
            return network.status

    status = fake.sim.run(main())
    assert status.light is Light.RED
    assert "ramson nodes import" in status.reason
    assert fake.of_kind(ListRefused)[0] == ListRefused("mirror", Why.EXPIRED)


def test_a_list_past_its_soft_expiry_is_used_with_a_warning_until_nodes_gave_a_newer_one(fake):
    kill_seeds(fake)

    async def main(network):
        before = await green(network)
        await asyncio.sleep(120)
        return before.reason, network.status.reason

    before, after = fake.run(main, profile=with_channels(fake, Channel(written(fake, days_old=31), local=True)))
    assert "more than a month old" in before
    assert "more than a month old" not in after
    assert fake.of_kind(ListAdopted) == [ListAdopted("mirror", Standing.SIGNED, stale=True)]


def test_what_was_signed_is_remembered_for_the_next_run(fake):
    fake.run(green, profile=with_channels(fake, Channel(written(fake), local=True)))
    snapshot = decode(fake.cache.data, fake.profile.fingerprint, now_ms=fake.now_ms())
    assert snapshot.standing is Standing.SIGNED
    assert len(snapshot.nodes) == 30


def test_if_the_nodes_of_a_signed_list_are_dead_seeds_and_channels_are_asked_for_others(fake):
    """The list on the device cannot help a second time; a newer one from a mirror can."""
    living = [each.record for each in fake.nodes]
    dead = [replace(node, ip=f"10.77.{i}.1") for i, node in enumerate(living)]
    channels = Channel(written(fake, dead, days_old=5), "file", local=True), Channel(written(fake, living))
    kill_seeds(fake)
    fake.run(green, profile=with_channels(fake, *channels))
    assert [event.voice for event in fake.of_kind(ListAdopted)] == ["file", "mirror"]


# ---- lying seeds


def honest(fake, status) -> bool:
    return all(hop.ed25519 in fake.by_key for path in status.paths for hop in path.hops)


def test_one_lying_seed_of_three_is_outvoted(fake):
    lie(fake, SEEDS[0])
    assert honest(fake, fake.run(green))
    assert fake.of_kind(ListAdopted)[0].standing is Standing.AGREED


def test_one_lying_and_one_honest_seed_are_a_contradiction_that_is_told(fake):
    lie(fake, SEEDS[0])
    fake.sim.crash(SEEDS[2])

    async def main():
        async with fake.client() as network:
            await asyncio.sleep(60)
            return network.status

    status = fake.sim.run(main())
    assert status.light is Light.RED
    assert "contradict" in status.reason
    assert "somebody you trust" in status.reason


def test_a_lying_seed_is_held_against_a_mirror(fake):
    """The only seed that answers lies; an unsigned list of a mirror contradicts it, a signed one is believed."""
    lie(fake, SEEDS[0])
    for address in SEEDS[1:]:
        fake.sim.crash(address)

    async def status_after_a_minute(signers):
        async with fake.client(profile=with_channels(fake, Channel(written(fake, signers=signers)))) as network:
            await asyncio.sleep(60)
            return network.status

    async def main():
        return await status_after_a_minute(1), await status_after_a_minute(2)

    plain, signed = fake.sim.run(main())
    assert plain.light is Light.RED
    assert signed.light is Light.GREEN
    assert honest(fake, signed)


def test_when_known_nodes_are_all_blocked_and_seeds_say_something_else_it_is_told(fake):
    records = tuple(each.record for each in fake.nodes)
    snapshot = Snapshot(records, (), fake.now_ms(), Standing.SIGNED, "somebody", fake.now_ms())
    fake.cache.data = encode(snapshot, fake.profile.fingerprint)
    lie(fake, *SEEDS)
    fake.sim.partition([[each.record.ip for each in fake.nodes]])

    async def main():
        async with fake.client() as network:
            await asyncio.sleep(600)
            return network.status, network.nodes

    status, in_use = fake.sim.run(main())
    assert status.light is Light.RED
    assert "contradict" in status.reason
    assert {node.ed25519 for node in in_use} <= set(fake.by_key)


@pytest.mark.parametrize("standing", [Standing.SIGNED, Standing.AGREED])
def test_seeds_that_all_lie_cannot_replace_what_is_known_even_if_most_nodes_are_blocked(fake, standing):
    """A censor blocks 20 of 30 nodes and coerces all seeds: the client keeps to the ten that answer."""
    records = tuple(each.record for each in fake.nodes)
    snapshot = Snapshot(records, (), fake.now_ms(), standing, "somebody", fake.now_ms())
    fake.cache.data = encode(snapshot, fake.profile.fingerprint)
    lie(fake, *SEEDS)
    fake.sim.partition([[each.record.ip for each in fake.nodes[:20]]])

    async def main():
        async with fake.client() as network:
            await asyncio.sleep(1200)
            return network.nodes, network.status

    nodes, status = fake.sim.run(main())
    assert {node.ed25519 for node in nodes} <= set(fake.by_key)
    assert honest(fake, status)
    assert status.light is not Light.RED


def test_the_first_start_with_a_single_lying_seed_is_what_remains(fake):
    """Nothing else is there to hold it against; docs/threat-model.md says so."""
    lie(fake, SEEDS[0])
    for address in SEEDS[1:]:
        fake.sim.crash(address)

    async def main():
        async with fake.client() as network:
            await asyncio.sleep(60)
            return network.nodes

    nodes = fake.sim.run(main())
    assert {node.ed25519 for node in nodes} == {node.ed25519 for node in own_nodes()}
    assert fake.of_kind(ListAdopted)[0].standing is Standing.PROVISIONAL


def test_a_provisional_start_is_held_against_the_other_seeds_when_they_are_back(fake):
    for address in SEEDS[1:]:
        fake.sim.crash(address)

    async def main(network):
        await green(network)
        for address in SEEDS[1:]:
            fake.sim.restart(address)
        await asyncio.sleep(600)

    fake.run(main)
    assert [event.standing for event in fake.of_kind(ListAdopted)] == [Standing.PROVISIONAL, Standing.AGREED]


# ---- offline


def test_with_seeds_blocked_for_good_known_nodes_get_another_chance_when_the_connection_is_back(fake):
    async def main():
        async with fake.client() as network:
            await green(network)
        kill_seeds(fake)
        fake.sim.partition([["10.200.0.1"]])
        async with fake.client() as network:
            await asyncio.sleep(600)
            fake.sim.heal()
            return await green(network)

    assert fake.sim.run(main()).light is Light.GREEN
    assert isinstance(fake.cache, MemoryCache)
