"""Pluggable transports: programs that carry connections in a shape of their own.  Spec: pt-spec 1.

Theory of operation.  One task keeps the program running (`child`) and reads what it says.  The program is told to watch
its standard input, so that it ends with us.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ramson.errors import LocalError, ParseError
from ramson.world.http import Endpoint, NetError, Stage
from ramson.world.outlets import ProxyAddress, ProxyKind, TransportFailed, TransportProgram
from ramson.world.proxy_handshake import handshake
from ramson.world.real import child
from ramson.world.real.net import RealNet
from ramson.world.real.proxy import converse
from ramson.world.transport_talk import MAX_LINE, Startup, environment, login

if TYPE_CHECKING:
    import random

    from ramson.world.real.dialer import At, Dialer

log = logging.getLogger(__name__)

START_SECONDS: Final = 30.0


class RunningProgram:
    """A transport program that runs; see world.RunningTransport.  Made by `start`."""

    def __init__(self, program: TransportProgram, path: str, dialer: Dialer, entropy: random.Random) -> None:
        self._program = program
        self._path = path
        self._dialer = dialer
        self._entropy = entropy
        self._methods: Mapping[str, Endpoint] = {}
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(
            child.keep_running(self._run_once, self._gives_up), name="pluggable transport"
        )

    async def started(self) -> None:
        """Wait until the program offers its methods.  Raises TransportFailed, after closing itself."""
        try:
            await self._first
        except BaseException:
            await self.close()
            raise

    def through(self, method: str, bridge: Endpoint, arguments: Mapping[str, str]) -> RealNet:
        """See world.RunningTransport.  Raises LocalError for arguments that cannot be handed over."""
        dialer = TransportDialer(lambda: self._methods.get(method), self._dialer, bridge, arguments)
        return RealNet(self._entropy, dialer=dialer)

    async def close(self) -> None:
        """See world.RunningTransport."""
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper

    def _gives_up(self, failure: Exception | None) -> bool:
        if failure is None:
            log.info("a pluggable transport has ended")
            return False
        log.info("a pluggable transport failed: %s", type(failure).__name__)
        if self._first.done():
            return False
        reason = str(failure) if isinstance(failure, ParseError) else "it does not start"
        self._first.set_exception(TransportFailed(f"the transport cannot be used: {reason}"))
        return True

    async def _run_once(self) -> None:
        """Run the program until it ends.  Raises OSError, ParseError, ValueError (a line too long), TimeoutError."""
        program = self._program
        variables = child.environment(environment(program.methods, program.state))
        async with child.running([self._path, *program.command[1:]], variables, max_line=MAX_LINE) as output:
            async with asyncio.timeout(START_SECONDS):
                self._methods = await _hear(output, program.methods)
            try:
                if not self._first.done():
                    self._first.set_result(None)
                while await output.readline():
                    pass  # logs and status: of use to nobody here, but the pipe must not fill
            finally:
                self._methods = {}


async def start(program: TransportProgram, dialer: Dialer, entropy: random.Random) -> RunningProgram:
    """Run a program and wait until it is ready.  Raises TransportFailed."""
    path = shutil.which(program.command[0])
    if path is None:
        raise TransportFailed(
            f"there is no program {Path(program.command[0]).name}", remedy="Install it, or name another."
        )
    _make_directory(program.state)
    running = RunningProgram(program, path, dialer, entropy)
    await running.started()
    return running


def _make_directory(state: str) -> None:
    try:
        Path(state).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise TransportFailed("the transport's directory cannot be made") from error


class TransportDialer:
    """Dials a bridge through a method of a transport; `method` tells where that listens now."""

    def __init__(
        self, method: Callable[[], Endpoint | None], below: Dialer, bridge: Endpoint, arguments: Mapping[str, str]
    ) -> None:
        self._method = method
        self._below = below
        self._bridge = bridge
        self._login = login(arguments)

    async def connect(self, _endpoint: Endpoint, allow: Callable[[str], bool] | None, at: At) -> socket.socket:
        """See Dialer; wherever it is to lead, it leads to the bridge."""
        if allow is not None:
            raise LocalError("who goes through a transport cannot choose among addresses")
        at(Stage.PROXY)
        here = self._method()
        if here is None:
            raise NetError(Stage.PROXY, "the transport does not run")
        user, password = self._login
        try:
            sock = await self._below.connect(here, None, lambda _: None)
        except NetError as error:
            raise NetError(Stage.PROXY, f"the transport cannot be reached: {error}") from None
        try:
            await converse(sock, handshake(ProxyAddress(ProxyKind.SOCKS5, here, user, password), self._bridge))
        except NetError as error:  # what the transport says of the bridge is about the way, not about a guard
            sock.close()
            raise NetError(Stage.PROXY, f"by the transport: {error}") from None
        except BaseException:
            sock.close()
            raise
        return sock


async def _hear(output: asyncio.StreamReader, wanted: tuple[str, ...]) -> Mapping[str, Endpoint]:
    startup = Startup()
    while not startup.done:
        line = await output.readline()
        if not line.endswith(b"\n"):
            raise ParseError("it ended while it started")
        startup.hear(line)
    methods = {name: place for name, place in startup.methods.items() if name in wanted}
    if not methods:
        raise ParseError("it offers none of the transports wanted")
    return methods
