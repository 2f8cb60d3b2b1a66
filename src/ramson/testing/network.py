"""The fake network: a simulated one, with people and bots on it.

The nodes, the client and the bot are the real ones; only time, disks and sockets are simulated, so that a wait
of a minute takes milliseconds, no port is opened, and every run of a test is the same.  A test under `on_fake_network`
is a plain function: it needs no plugin for asyncio.  What a bot reaches outside of Session is not simulated: give it
something to talk to that stands in for that.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from ramson.bot import Bot
from ramson.crypto.account import AccountId
from ramson.errors import RemoteError
from ramson.messenger import Client, KeyCost, Message, Receipt
from ramson.sim import SimulatedNetwork
from ramson.world.simulated import Simulation

P = ParamSpec("P")
T = TypeVar("T")

_PASSPHRASE: Final = "only for tests"  # noqa: S105 - it protects nothing
_CHEAP: Final = KeyCost(passes=1, memory=13)
PATIENCE: Final = 120.0  # virtual seconds


class NothingHeard(RemoteError):
    """Nobody wrote in the time given."""


class Person:
    """Somebody on the fake network."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._account_id = client.account_id
        self._messages = client.messages()

    @property
    def client(self) -> Client:
        """All of their account."""
        return self._client

    @property
    def account_id(self) -> AccountId:
        """The id others write to."""
        return self._account_id

    async def say(self, to: AccountId | str, text: str) -> Receipt:
        """Send a text and wait until it is stored."""
        return await self._client.send(to, text)

    async def hear(self, *, within: float = PATIENCE) -> Message:
        """Return the next message; waits so many virtual seconds at most.  Raises NothingHeard."""
        try:
            async with asyncio.timeout(within):
                return await anext(self._messages)
        except TimeoutError:
            self._messages = self._client.messages()  # the other one ended with the wait
            raise NothingHeard(f"nobody wrote within {within:g} s") from None


class FakeNetwork:
    """A running network of real nodes in virtual time."""

    def __init__(self, directory: Path, *, seed: int = 1, nodes: int = 8, swarms: int = 2) -> None:
        self.simulation = Simulation(seed)
        self.network = SimulatedNetwork(
            self.simulation, directory, nodes=nodes, swarms=swarms, tests=False, file_server=True
        )
        self._directory = directory
        self._files: dict[object, tuple[int, Path]] = {}

    def client(self, key: object, *, name: str = "", subscribe: bool = False) -> Client:
        """Prepare the client of an account that belongs to `key`: a new one the first time, then the same."""
        new = key not in self._files
        number, path = self._files.setdefault(
            key, (len(self._files), self._directory / f"account{len(self._files)}.ramson")
        )
        world = self.network.client_world(number)
        if not new:
            return Client.open(
                path, passphrase=_PASSPHRASE, network=self.network.profile, world=world, subscribe=subscribe
            )
        return Client.create(
            path,
            passphrase=_PASSPHRASE,
            network=self.network.profile,
            world=world,
            name=name,
            cost=_CHEAP,
            subscribe=subscribe,
        )

    @property
    def now(self) -> float:
        """Virtual seconds since the network was made."""
        return self.simulation.now

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], bool], *, within: float = PATIENCE) -> None:
        """Wait until something is so; it is looked at every half second.  Raises TimeoutError."""
        async with asyncio.timeout(within):
            while not condition():
                await self.sleep(0.5)

    @asynccontextmanager
    async def person(self, name: str = "Alice") -> AsyncIterator[Person]:
        """Be somebody with this name; the same name is the same account."""
        async with self.client(name, name=name) as client:
            yield Person(client)

    @asynccontextmanager
    async def running(self, bot: Bot) -> AsyncIterator[AccountId]:
        """Let a bot work on this network, with an account made for the test, and give its id.

        Its own file, passphrase and network are not touched.  To enter it again is to restart it.
        """
        async with bot.serving_with(self.client(bot, subscribe=bot.subscribe)) as working:
            yield working.account_id


def run(
    story: Callable[[FakeNetwork], Awaitable[T]],
    *,
    seed: int = 1,
    nodes: int = 8,
    swarms: int = 2,
    limit: float = 7 * 86_400.0,
) -> T:
    """Run an async function on a fake network of its own and return what it returns.

    Another `seed` is another run: other keys, delays and paths.  `limit` is in virtual seconds; TimeoutError.
    """
    with tempfile.TemporaryDirectory(prefix="ramson-") as directory:
        net = FakeNetwork(Path(directory), seed=seed, nodes=nodes, swarms=swarms)

        async def main() -> T:
            await net.network.up()
            async with asyncio.timeout(limit):
                return await story(net)

        return net.simulation.run(main())


def on_fake_network(
    test: Callable[Concatenate[FakeNetwork, P], Coroutine[Any, Any, T]],
) -> Callable[P, T]:
    """Make an async test, whose first argument is a FakeNetwork, a plain one; see `run`."""

    @functools.wraps(test)
    def plain(*arguments: P.args, **named: P.kwargs) -> T:
        return run(lambda net: test(net, *arguments, **named))

    first, *others = inspect.signature(test).parameters.values()
    del first, plain.__wrapped__  # pytest shall not look for a fixture of the first argument's name
    plain.__signature__ = inspect.Signature(others)  # type: ignore[attr-defined]
    return plain
