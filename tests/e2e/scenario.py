"""One scenario for every kind of network: many people write to each other, and two nodes die half-way.

`play` is written once against a `Stage`; the simulated world and real sockets each furnish one.  It fails unless
every message was delivered to its recipient exactly once and to nobody else.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ramson.messenger import Client, KeyCost, State
from ramson.network import NetworkProfile
from ramson.world import World

PASSPHRASE = "correct horse battery staple"
CHEAP = KeyCost(passes=1, memory=13)  # the scenario is not about guessing passphrases
AT_ONCE = 3  # letters of one person that are on their way at the same time
TWICE = 10.0  # seconds, three polls of everybody, in which a second copy of a message would show


class Stage(Protocol):
    """A running network and places for clients to be."""

    profile: NetworkProfile
    nodes: int
    directory: Path

    def world(self, number: int) -> World:
        """Return the world of the client with this number."""
        ...

    async def kill(self, node: int) -> None:
        """End a node's process as a crash would."""
        ...


@dataclass(frozen=True)
class Letter:
    """One message of the plan; people are known by number."""

    sender: int
    recipient: int
    body: str


def plan(entropy: random.Random, accounts: int, messages: int) -> list[Letter]:
    """Draw who writes to whom."""
    pairs = [entropy.sample(range(accounts), 2) for _ in range(messages)]
    return [Letter(*pair, f"message {number} {entropy.getrandbits(64):x}") for number, pair in enumerate(pairs)]


async def play(
    stage: Stage, *, seed: int, accounts: int = 20, messages: int = 200, killed: int = 2, patience: float = 600.0
) -> None:
    """Run the scenario; AssertionError tells what was missing or superfluous after `patience` seconds."""
    entropy = random.Random(seed)
    letters = plan(entropy, accounts, messages)
    victims = entropy.sample(range(stage.nodes), killed)
    delivered: Counter[Letter] = Counter()
    arrived, half_way = asyncio.Event(), asyncio.Event()
    sent = 0

    async def read(number: int) -> None:
        async for message in clients[number].messages():
            delivered[Letter(people[message.sender], number, message.body)] += 1
            arrived.set()

    async def write(own: Iterator[Letter]) -> None:
        nonlocal sent
        for letter in own:
            receipt = await clients[letter.sender].send(clients[letter.recipient].account_id, letter.body)
            assert receipt.state is State.SENT, receipt
            sent += 1
            if sent >= messages // 2:
                half_way.set()

    async def strike() -> None:
        await half_way.wait()
        for victim in victims:
            await stage.kill(victim)

    async def see_all_arrive() -> None:
        while len(delivered) < messages:
            arrived.clear()
            await arrived.wait()

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(_new_client(stage, number)) for number in range(accounts)]
        people = {client.account_id: number for number, client in enumerate(clients)}
        async with asyncio.TaskGroup() as readers:
            reading = [readers.create_task(read(number)) for number in range(accounts)]
            try:
                async with asyncio.timeout(patience), asyncio.TaskGroup() as work:
                    work.create_task(strike())
                    work.create_task(see_all_arrive())
                    for number in range(accounts):
                        own = iter([letter for letter in letters if letter.sender == number])
                        for _ in range(AT_ONCE):
                            work.create_task(write(own))
                await asyncio.sleep(TWICE)
            except TimeoutError:
                pass  # what is missing is told below
            for task in reading:
                task.cancel()
    expected = Counter(letters)
    assert not expected - delivered, f"{(expected - delivered).total()} of {messages} messages are missing"
    assert not delivered - expected, f"superfluous: {delivered - expected}"


def _new_client(stage: Stage, number: int) -> Client:
    return Client.create(
        stage.directory / f"person{number}.ramson",
        passphrase=PASSPHRASE,
        network=stage.profile,
        world=stage.world(number),
        cost=CHEAP,
    )
