"""Whole clients on hosts that crash: what was given to a client goes out, and what it handed on is not repeated."""

import asyncio
from collections import Counter

import pytest

from ramson.messenger import Client, KeyCost
from ramson.sim import SimulatedNetwork
from ramson.world.simulated import ROUGH, Simulation

PEOPLE, MESSAGES, CRASHES = 3, 12, 8
CHEAP = KeyCost(passes=1, memory=13)


class Village:
    """People who each send `MESSAGES` messages to the next one, and go on where they stopped after a crash."""

    def __init__(self, sim, directory, *, subscribe):
        self.sim = sim
        self.subscribe = subscribe
        self.network = SimulatedNetwork(sim, directory / "nodes")
        self.directory = directory
        self.ids = {}
        self.read = [Counter() for _ in range(PEOPLE)]
        self.crashes = Counter()
        self.known, self.news = asyncio.Event(), asyncio.Event()

    def address(self, number):
        return f"10.200.0.{number + 1}"

    def program(self, number):
        async def live(world):
            path = self.directory / f"{number}.ramson"
            options = {"passphrase": "correct horse", "network": self.network.profile, "world": world}
            options["subscribe"] = self.subscribe
            known = Client.open(path, **options) if path.exists() else Client.create(path, cost=CHEAP, **options)
            async with known as me:
                self.ids[number] = me.account_id
                if len(self.ids) == PEOPLE:
                    self.known.set()
                await self.known.wait()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.write(me, number))
                    group.create_task(self.listen(me, number))

        return live

    async def write(self, me, number):
        friend = self.ids[(number + 1) % PEOPLE]
        begun = {message.body for message in me.history(friend, limit=1000)}
        for body in (f"{number} writes {count}" for count in range(MESSAGES)):
            if body not in begun:
                await me.send(friend, body)

    async def listen(self, me, number):
        async for message in me.messages():
            self.read[number][message.body] += 1
            self.news.set()
            await asyncio.sleep(0.5)  # to handle a message takes a while, in which a crash can come

    def expected(self, number):
        return {f"{(number - 1) % PEOPLE} writes {count}" for count in range(MESSAGES)}

    async def crash_somebody(self, entropy):
        await asyncio.sleep(entropy.uniform(0.1, 4))
        number = entropy.randrange(PEOPLE)
        self.sim.crash(self.address(number))
        self.crashes[number] += 1
        await asyncio.sleep(entropy.uniform(0.1, 4))
        self.sim.restart(self.address(number))

    async def all_read(self):
        while any(set(self.read[number]) != self.expected(number) for number in range(PEOPLE)):
            self.news.clear()
            await self.news.wait()


@pytest.mark.parametrize("seed", range(6))
def test_clients_that_crash_lose_nothing_and_repeat_at_most_the_message_in_hand(seed, tmp_path):
    sim = Simulation(seed, model=ROUGH)
    village = Village(sim, tmp_path, subscribe=seed % 2 == 1)  # notices are lost as other messages are
    entropy = village.network.client_world(99).entropy

    async def main():
        await village.network.up()
        for number in range(PEOPLE):
            sim.host(village.address(number)).start(village.program(number))
        await village.known.wait()
        for _ in range(CRASHES):
            await village.crash_somebody(entropy)
        async with asyncio.timeout(600):
            await village.all_read()
        await asyncio.sleep(20)

    sim.run(main())
    assert sim.faults["crash"] == CRASHES
    for number in range(PEOPLE):
        assert set(village.read[number]) == village.expected(number)
        repeated = village.read[number].total() - MESSAGES
        assert repeated <= village.crashes[number]
