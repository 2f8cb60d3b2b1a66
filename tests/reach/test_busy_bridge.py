"""A bridge that has more to do than it can: it is asked again, later and later, and not by everybody at once."""

import asyncio
import itertools

import pytest

from ramson.protocol import bridge as protocol
from ramson.protocol.bridge import Content, Refusal, Refused, link
from ramson.protocol.nodes import NodeRecord
from ramson.reach.bridge import BridgeRefused, BridgeRoute
from ramson.world import HttpResponse
from ramson.world.simulated import Simulation

SECRET = bytes(range(32))
LINK = link.make("https://site.example/notes/", SECRET, "mainnet")
GUARD = NodeRecord(bytes([7]) * 32, bytes([8]) * 32, b"", "10.0.0.7", 22021, 22020, 0)


class BusyNet:
    """A bridge that refuses some times."""

    def __init__(self, clock, times, reason=Refusal.BUSY):
        self.clock, self.times, self.reason, self.asked = clock, times, reason, []

    async def request(self, _endpoint, request, **_options):
        self.asked.append(self.clock.monotonic())
        found = protocol.find(request.target.rpartition("/")[2], (SECRET,), now_ms=self.clock.now())
        refused = len(self.asked) <= self.times
        reply = Refused(self.reason) if refused else Content(200, 5, b"reply")
        return HttpResponse(200, body=found[1].seal_reply(protocol.encode_reply(reply)))


def ask(times, *, seconds=20.0, address="10.0.0.1", reason=Refusal.BUSY):
    """Send an onion request; return what came back and when the bridge was asked."""
    world = (simulation := Simulation(1)).world(address)
    net = BusyNet(world.clock, times, reason)

    async def session():
        try:
            return (await BridgeRoute(world, net, LINK).post(GUARD, b"onion", timeout=seconds)).body
        except BridgeRefused as error:
            return error.reason

    return simulation.run(asyncio.wait_for(session(), 60)), net.asked


def test_it_is_asked_again_after_pauses_that_grow():
    came, asked = ask(3)
    assert came == b"reply"
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert [0.5 * 2**n <= pause <= 1.5 * 2**n for n, pause in enumerate(pauses)] == [True] * 3


def test_those_who_came_at_the_same_moment_do_not_come_back_at_the_same_moment():
    assert len({ask(1, address=f"10.0.0.{host}")[1][1] for host in range(1, 9)}) == 8


def test_it_is_not_asked_for_longer_than_there_is_time():
    came, asked = ask(100, seconds=10.0)
    assert came is Refusal.BUSY
    assert asked[-1] < 10


@pytest.mark.parametrize("reason", [Refusal.UNKNOWN_GUARD, Refusal.GUARD_SILENT])
def test_what_will_not_change_is_not_asked_again(reason):
    assert ask(1, reason=reason) == (reason, [0.0])
