"""The bot: an account file, handlers, and the ways to run them.

    bot = Bot("echo.ramson", name="Echo")

    @bot.on(f.text)
    async def echo(message: Message) -> str:
        return message.body

    if __name__ == "__main__":
        bot.run()

`run` is for a script; `async with bot` for a program that does other things as well.  How work is done is told in
`serving`.  Spec: SDK.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias, TypeVar

from ramson.bot.account_secret import read_passphrase
from ramson.bot.filters import Filter, everything
from ramson.bot.rate import Rate
from ramson.bot.router import Router
from ramson.bot.serving import ErrorFunction, Left, Serving
from ramson.bot.unlocking import account_passphrase
from ramson.crypto.account import AccountId
from ramson.errors import LocalError
from ramson.messenger import Client, NotOpen, Receipt
from ramson.messenger.message import Attachable
from ramson.network import MAINNET, NetworkProfile
from ramson.reach import NO_WISHES, ReachSettings
from ramson.world import World

DEFAULT_RATE: Final = Rate(30, 60)  # a person who types writes less

LifespanFunction: TypeAlias = Callable[["Bot"], AsyncIterator[None]]
E = TypeVar("E", bound=ErrorFunction)
L = TypeVar("L", bound=LifespanFunction)


class Bot(Router):
    """Handlers with an account.

    `path` is the encrypted account file, made when it is missing; its passphrase comes from `passphrase_file`, from the
    variable RAMSON_PASSPHRASE, or is asked for, unless a key in the system's keyring opens it.  `name` is the display
    name; empty: as it is in the file.  At most `workers` messages are handled at a time, those of one conversation one
    after the other and no more often than `rate` says; what is beyond it waits, and nobody else waits for it.  A stop
    waits at most `grace` seconds for handlers that run.  Whoever writes what a handler is for is accepted before it is
    called, so that it can react; without `accepts` only a reply does that.  `reach` is the way out of this network,
    `only` a filter for all handlers.  With `subscribe` messages come at once, and two of the nodes that keep them learn
    this machine's address together with the account id; see `Client.open`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        name: str = "",
        passphrase_file: str | os.PathLike[str] | None = None,
        network: NetworkProfile = MAINNET,
        world: World | None = None,
        reach: ReachSettings | None = None,
        subscribe: bool = False,
        workers: int = 8,
        grace: float = 10.0,
        rate: Rate | None = DEFAULT_RATE,
        accepts: bool = True,
        only: Filter = everything,
    ) -> None:
        if workers < 1:
            raise LocalError("a bot without workers does nothing", remedy="Take workers=1 or more.")
        super().__init__(only)
        self.path = Path(path)
        self.name = name
        self.network = network
        self.accepts = accepts
        self.passphrase_file = None if passphrase_file is None else Path(passphrase_file)
        self.world = world
        self.reach = reach
        self.subscribe = subscribe
        self._workers = workers
        self._grace = grace
        self._rate = rate
        self._on_error: ErrorFunction | None = None
        self._lifespans: list[Callable[[Bot], AbstractAsyncContextManager[None]]] = []
        self._client: Client | None = None
        self._open: AbstractAsyncContextManager[Bot] | None = None
        self._stopped = asyncio.Event()

    def on_error(self, function: E) -> E:
        """Declare `async def function(error, message)` to be told when a handler or job (message None) fails.

        A text that it returns is sent as a reply.  Without one, the kind of error and its place are logged.
        """
        self._on_error = function
        return function

    @property
    def client(self) -> Client:
        """The open account; all that can be done with it can be done with this.  Raises NotOpen."""
        if self._client is None:
            raise NotOpen("this bot is not running", remedy="Use it inside `async with`, or from a handler.")
        return self._client

    @property
    def account_id(self) -> AccountId:
        """The id others write to.  Raises NotOpen."""
        return self.client.account_id

    def lifespan(self, function: L) -> L:
        """Declare `async def function(bot)` with one `yield`: before it what the work needs is opened, after it closed.

        The bot takes no message before all are open, and each is closed after the last handler has ended.
        """
        self._lifespans.append(asynccontextmanager(function))
        return function

    async def send(
        self, to: AccountId | str, text: str = "", *, wait: bool = True, attachments: Sequence[Attachable] = ()
    ) -> Receipt:
        """Send a text, files, or both, as Client.send does."""
        return await self.client.send(to, text, wait=wait, attachments=attachments)

    def stop(self) -> None:
        """Let `serve` end, in good order."""
        self._stopped.set()

    async def stopped(self) -> None:
        """Wait until `stop` is called."""
        await self._stopped.wait()

    async def serve(self) -> None:
        """Open the account and work until `stop` is called."""
        async with self:
            await self.stopped()

    async def __aenter__(self) -> Self:
        self._open = self.serving_with(self.make_client())
        await self._open.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            await opened.__aexit__(kind, error, traceback)

    @asynccontextmanager
    async def serving_with(self, client: Client) -> AsyncIterator[Bot]:
        """Work with this client, which is not entered yet, instead of that of the bot's file: for tests."""
        if self._client is not None:
            raise LocalError("this bot is running already")
        self._stopped = asyncio.Event()
        with suppress(Left):
            async with client:
                self._client = client
                try:
                    if self.name and client.name != self.name:
                        await client.set_profile(self.name)
                    serving = Serving(
                        self, client, self._on_error, workers=self._workers, grace=self._grace, rate=self._rate
                    )
                    async with AsyncExitStack() as stack:
                        for lifespan in self._lifespans:
                            await stack.enter_async_context(lifespan(self))
                        async with serving.work():
                            yield self
                finally:
                    self._client = None
                raise Left

    def make_client(self, *, connect: bool = True) -> Client:
        """Prepare to open the account file, or to make it.  Raises LocalError if there is nothing that opens it."""
        reach = self.reach or NO_WISHES
        if not self.path.exists():
            passphrase = read_passphrase(self.passphrase_file, new=True)
            return Client.create(
                self.path,
                passphrase=passphrase,
                network=self.network,
                world=self.world,
                name=self.name,
                subscribe=self.subscribe,
                reach=reach,
            )
        passphrase = account_passphrase(self.path, self.passphrase_file)
        return Client.open(
            self.path,
            passphrase=passphrase,
            network=self.network,
            world=self.world,
            connect=connect,
            subscribe=self.subscribe,
            reach=reach,
        )

    def run(self, arguments: Sequence[str] | None = None) -> None:
        """Do what the command line says: `serve` (if it says nothing), `init`, `id`, `qr`, `doctor`.  Exits."""
        command: Callable[[Bot, Sequence[str] | None], None]
        from ramson.bot.command_line import main as command  # noqa: PLC0415 - only scripts need it

        command(self, arguments)
