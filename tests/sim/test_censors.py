"""Models of censors: what each stops, of whom, from when on, and that it counts what it stopped."""

import asyncio
from collections import Counter

import pytest

from ramson.sim import censors
from ramson.sim.censors import Blocking, Censor, Deed
from ramson.sim.network import shared_certificate
from ramson.world import Endpoint, HttpLimits, HttpRequest, HttpResponse, NetError, Stage, Tls
from ramson.world.pins import pin_of
from ramson.world.simulated import Simulation

SITE, NAME = "10.0.0.9", "site.example"
INSIDE, OUTSIDE = "10.0.0.1", "10.0.0.2"
SECONDS = 5
PASSES = HttpResponse(200, body=bytes(1000))


class Town:
    """A site, somebody inside the region of a censor, and somebody outside."""

    def __init__(self, blocking: Blocking, *, since: float = 0.0) -> None:
        self.simulation = Simulation(1)
        self.simulation.name(NAME, SITE)
        self.simulation.host(SITE).start(self._site)
        self.censor = Censor(blocking, frozenset([INSIDE]), self.simulation.world(INSIDE).clock, since)
        self.simulation.censor(self.censor)

    async def _site(self, world) -> None:
        at = Endpoint(SITE, 443)
        await world.net.listen(at, lambda _: PASSES, certificate=shared_certificate(), limits=HttpLimits())
        await asyncio.Event().wait()

    async def get(self, who=INSIDE, *, host=NAME, split=False, size=0) -> Stage | None:
        """Ask the site; return where that failed, if it did."""
        outlets = self.simulation.world(who).outlets
        net = outlets.split() if split else outlets.direct()
        tls = Tls(pins=frozenset([pin_of(shared_certificate())]))
        try:
            await net.request(Endpoint(host, 443), HttpRequest("POST", "/", body=bytes(size)), tls=tls, timeout=SECONDS)
        except NetError as error:
            return error.reached
        return None

    def run(self, *errands) -> list[Stage | None]:
        async def session():
            await asyncio.sleep(0.1)
            return [await errand for errand in errands]

        return self.simulation.run(session())


DROPPED = censors.dropped("site", [SITE])
RESET = censors.reset(NAME)
POISON = censors.poison(NAME)


@pytest.mark.parametrize(
    ("blocking", "stage", "deed"),
    [
        (DROPPED, Stage.CONNECT, Deed.DROPPED),
        (RESET, Stage.TLS, Deed.RESET),
        (POISON, Stage.CONNECT, Deed.POISONED),
        (censors.FREEZE, Stage.REPLY, Deed.FROZEN),
    ],
    ids=lambda value: value.name if isinstance(value, Blocking) else None,
)
def test_each_stops_what_it_is_about_and_of_nobody_else(blocking, stage, deed):
    town = Town(blocking)
    assert town.run(town.get(size=20_000), town.get(OUTSIDE, size=20_000)) == [stage, None]
    assert town.censor.met == Counter({deed: 1})


def test_a_split_hello_and_a_bare_address_show_no_name():
    town = Town(RESET)
    assert town.run(town.get(split=True), town.get(host=SITE)) == [None, None]
    assert not town.censor.met


def test_a_poisoned_name_does_not_hinder_who_knows_the_address():
    town = Town(POISON)
    assert town.run(town.get(host=SITE)) == [None]


def test_a_freeze_counts_both_directions_of_one_connection():
    town = Town(censors.FREEZE)
    assert town.run(town.get(size=10_000), town.get(size=10_000)) == [None, None]  # two connections
    town = Town(Blocking("sooner", freeze_after=13_000))
    assert town.run(town.get(size=10_000)) == [Stage.REPLY]


def test_it_begins_when_it_is_told():
    town = Town(DROPPED, since=60)

    async def later():
        await asyncio.sleep(60)
        return await town.get()

    assert town.run(town.get(), later()) == [None, Stage.CONNECT]


def test_joined_they_do_what_each_does():
    both = DROPPED | RESET | POISON | censors.FREEZE | Blocking("later", freeze_after=50_000) | censors.UDP
    assert both == Blocking(
        "site dropped, reset by name, names poisoned, frozen after 16 KiB, later, UDP dropped",
        addresses=frozenset([SITE]),
        hellos=frozenset([NAME]),
        freeze_after=censors.FREEZE_AFTER,
        poisoned=frozenset([NAME]),
        udp=True,
    )


def test_one_that_has_nothing_to_see_here_says_so():
    assert censors.UDP.unseen
    assert not any(each.unseen for each in (DROPPED, RESET, POISON, censors.FREEZE, censors.UDP | DROPPED))
