"""The fake network of `ramson.testing` for synchronous programs.

    from ramson.testing.sync import fake_network

    def test_they_talk() -> None:
        with fake_network() as net, net.person("Alice") as alice, net.person("Bob") as bob:
            alice.say(bob.account_id, "hello")
            bob.hear().reply("hi")
            assert alice.hear().body == "hi"

Its time is virtual and stands still between calls, so that nothing happens unseen.  It is for one thread.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ramson import bot as asynchronous
from ramson.crypto.account import AccountId
from ramson.sync import Bot
from ramson.sync.bot import CALLS
from ramson.sync.loop import Block, Host, limited
from ramson.testing import network, sync_facade
from ramson.testing.lockstep import LockstepCalls
from ramson.testing.network import PATIENCE, NothingHeard
from ramson.testing.sync_facade import Person
from ramson.world.simulated import Simulation

__all__ = ["FakeNetwork", "NothingHeard", "Person", "fake_network"]

T = TypeVar("T")


class SteppedLoop:
    """Runs coroutines on the loop of a simulation, in the caller's own thread; see `ramson.sync.loop.Loop`."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def run(self, work: Callable[[], Awaitable[T]], host: Host | None = None) -> T:
        """Do the work, and let time pass until it is done."""
        return self._simulation.step(limited(work, host))


class FakeNetwork(sync_facade.FakeNetwork):
    """A running network of real nodes in virtual time."""

    def until(self, condition: Callable[[], bool], *, within: float = PATIENCE) -> None:
        """Let time pass until something is so; it is looked at every half second.  Raises TimeoutError."""
        end = self.now + within
        while not condition():
            if self.now >= end:
                raise TimeoutError
            self.sleep(0.5)

    def running(self, bot: asynchronous.Bot | Bot) -> Block[AccountId]:
        """Let a bot, whose handlers are functions of either kind, work on this network, and give its id.

        Its own file, passphrase and network are not touched.  To enter it again is to restart it.
        """
        return super().running(bot.bot if isinstance(bot, Bot) else bot)


@contextmanager
def fake_network(*, seed: int = 1, nodes: int = 8, swarms: int = 2) -> Iterator[FakeNetwork]:
    """Make a fake network and give it; another `seed` is another run.  See `ramson.testing.run`."""
    with tempfile.TemporaryDirectory(prefix="ramson-") as directory:
        fake = network.FakeNetwork(Path(directory), seed=seed, nodes=nodes, swarms=swarms)
        calls = CALLS.set(LockstepCalls())
        try:
            fake.simulation.step(fake.network.up())
            yield FakeNetwork.of(fake, SteppedLoop(fake.simulation))
        finally:
            CALLS.reset(calls)
            fake.simulation.end()
