"""Devices of accounts on a model of the network: an engine each, on a real account file, that can be switched off."""

import asyncio
import contextlib
import random

from swarm_model import EPOCH_MS, Swarm

from ramson.messenger.engine import Engine
from ramson.messenger.store import Store
from ramson.messenger.vault import KeyCost
from ramson.world.simulated.loop import SimulatedLoop

CHEAP = KeyCost(passes=1, memory=13)
PASSPHRASE = "correct horse"


def virtually(main, *, limit=60 * 86_400.0):
    """Run a coroutine in virtual time."""
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(time_limit=limit)) as runner:
        return runner.run(main)


class Device:
    """One device of an account; `on` and `off` as often as one likes."""

    def __init__(self, path, keys, swarm, *, name="", restored=False, skew_ms=0, seed=0):
        self.path, self.keys, self.swarm = path, keys, swarm
        self.entropy = random.Random(seed)
        self.skew_ms = skew_ms
        self.events = []
        self.engine = None
        Store.create(
            path,
            PASSPHRASE,
            keys,
            name=name,
            now_ms=EPOCH_MS,
            entropy=self.entropy,
            cost=CHEAP,
            restored=restored,
        )

    @property
    def id(self):
        return self.keys.id

    def on(self, *, receive=True):
        store = Store.open(self.path, PASSPHRASE, entropy=random.Random(0))
        store.db._connection.pragma("synchronous", "OFF")  # nobody pulls the plug of these
        self.net = self.swarm.client(self.skew_ms)
        self.engine = Engine(store, self.net, self.entropy)
        stream = self.engine.board.listen()
        stream.tell = self.events.append
        loop = asyncio.get_running_loop()
        self.tasks = [loop.create_task(work, name=name) for work, name in self.engine.work(receive=receive)]
        return self

    async def off(self):
        """End as a crash would: between two steps of whatever is going on."""
        if self.engine is None:
            return
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.engine.store.close()
        self.engine = None

    @property
    def act(self):
        return self.engine.actions

    @property
    def store(self):
        return self.engine.store

    def send(self, to, text, **more):
        from ramson.messenger.actions import Draft

        return self.act.send(to.id, Draft(text, **more))

    def history(self, peer, limit=1000):
        return self.store.conversations.history(peer.id, limit)

    def bodies(self, peer):
        return [message.body for message in self.history(peer)]

    def contact(self, peer):
        return self.store.configs.contact(peer.id)

    def told(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def failed(self):
        return [task for task in self.tasks if task.done() and not task.cancelled()]


@contextlib.asynccontextmanager
async def switched_on(*devices):
    """Switch devices on for the block; a part of one that fails fails the test."""
    for device in devices:
        device.on()
    try:
        yield
        for device in devices:
            for task in device.failed() if device.engine else ():
                task.result()
                raise AssertionError(f"{task.get_name()} has ended")
    finally:
        for device in devices:
            await device.off()


__all__ = ["CHEAP", "EPOCH_MS", "PASSPHRASE", "Device", "Swarm", "switched_on", "virtually"]
