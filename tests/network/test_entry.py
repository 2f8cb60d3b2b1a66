"""Everything a client sends goes through the entry it was given; when the way out changes, paths are looked at anew."""

import asyncio

from ramson.crypto.account import AccountKeys
from ramson.network import Light, Network
from ramson.network.entry import CannotFetch, DirectEntry
from ramson.network.trace import GuardTested, PathDropped, PathTested
from ramson.world import NetError, Stage, World

KEYS = AccountKeys.from_entropy(b"sixteen bytes ok")


class Gate(DirectEntry):
    """A way out that can be shut, and one that carries onion requests only."""

    def __init__(self, world):
        super().__init__(world.net, world.entropy)
        self.shut = self.onions_only = False
        self.sent = self.fetched = 0

    async def send(self, guard, sealed, *, timeout):  # noqa: ASYNC109 - as in Entry
        self.sent += 1
        if self.shut:
            raise NetError(Stage.CONNECT, "shut")
        return await super().send(guard, sealed, timeout=timeout)

    async def fetch(self, endpoint, request, *, tls, timeout):  # noqa: ASYNC109 - as in Entry
        self.fetched += 1
        if self.onions_only:
            raise CannotFetch
        if self.shut:
            raise NetError(Stage.CONNECT, "shut")
        return await super().fetch(endpoint, request, tls=tls, timeout=timeout)

    def watch(self, changed, told):
        self.changed = changed


class NoNet:
    """A net that must not be used."""

    def __getattr__(self, name):
        raise AssertionError(f"Net.{name} beside the entry")


def session(fake, main):
    gate = Gate(fake.world)
    world = World(fake.world.clock, fake.world.entropy, NoNet(), fake.world.disk, NoNet())

    async def run():
        async with Network(world, fake.profile, fake.cache, entry=gate, trace=fake.events.append) as network:
            return await main(network, gate)

    return fake.sim.run(run())


async def until(network, light):
    async with asyncio.timeout(300):
        async for status in network.watch():
            if status.light is light:
                return status
    raise AssertionError


def test_nothing_goes_out_beside_the_entry(fake):
    async def main(network, gate):
        await until(network, Light.GREEN)
        await network.store(KEYS.id, b"message", ttl_ms=86_400_000)
        return gate.sent, gate.fetched

    sent, fetched = session(fake, main)
    assert fetched == len(fake.profile.seeds)
    assert sent == len(fake.contacted) > 4


def test_when_the_way_out_has_changed_paths_are_looked_at_at_once_and_kept(fake):
    async def main(network, gate):
        before = (await until(network, Light.GREEN)).paths
        await asyncio.sleep(5)
        seen = len(fake.events)
        gate.changed()
        await asyncio.sleep(3)
        return before, network.status, fake.events[seen:]

    before, after, events = session(fake, main)
    assert {event.node for event in events if isinstance(event, GuardTested)} == {path.guard for path in before}
    assert {event.path for event in events if isinstance(event, PathTested)} == set(before)
    assert (after.light, after.paths) == (Light.GREEN, before)


def test_a_client_that_was_shut_out_is_back_soon_after_another_way_was_found(fake):
    async def main(network, gate):
        before = (await until(network, Light.GREEN)).paths
        gate.shut = True
        gate.changed()
        await until(network, Light.RED)
        await asyncio.sleep(600)
        gate.shut = False
        began = fake.sim.now
        gate.changed()
        status = await until(network, Light.GREEN)
        return before, status.paths, fake.sim.now - began

    before, after, seconds = session(fake, main)
    assert seconds < 10
    assert {path.guard for path in after} == {path.guard for path in before}  # nobody was to blame
    assert not fake.of_kind(PathDropped)


def test_where_only_onion_requests_pass_the_reason_is_said(fake):
    async def main(network, gate):
        gate.onions_only = True
        async with asyncio.timeout(300):
            async for status in network.watch():
                if "way out" in status.reason:
                    return status
        raise AssertionError

    status = session(fake, main)
    assert "does not lead to them" in status.reason
