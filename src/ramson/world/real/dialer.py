"""Getting a connected TCP socket: the step that routes and proxies replace.

A `Dialer` hands back a connected, non-blocking stream socket and nothing else; TLS, with its pins, is
laid over it by the client, so no route can weaken it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Protocol

from ramson.world.http import AddressRefused, Endpoint, NetError, Stage

ATTEMPT = 5.0  # seconds for one address while others are left to try


At = Callable[[Stage], None]  # is told how far a connection has come


class Dialer(Protocol):
    """A way to reach an endpoint."""

    async def connect(self, endpoint: Endpoint, allow: Callable[[str], bool] | None, at: At) -> socket.socket:
        """Return a connected, non-blocking stream socket that the caller owns.

        Only addresses that `allow` accepts may be connected to; a dialer that cannot know them (a proxy
        that resolves names itself) must refuse to dial when `allow` is given.  Raises NetError with stage
        NAME, CONNECT or PROXY.  The caller limits the time.
        """
        ...


class DirectDialer:
    """Names from the system's resolver, connections from this machine, from `source` if given."""

    def __init__(self, source: str | None = None) -> None:
        self._source = source

    async def connect(self, endpoint: Endpoint, allow: Callable[[str], bool] | None, at: At) -> socket.socket:
        """See Dialer."""
        loop = asyncio.get_running_loop()
        at(Stage.NAME)
        addresses = await self._resolve(loop, endpoint)
        if allow is not None:
            addresses = [address for address in addresses if allow(str(address[1][0]))]
            if not addresses:
                raise AddressRefused
        at(Stage.CONNECT)
        reason, denied = "", False
        for left, (family, address) in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
            try:
                async with asyncio.timeout(ATTEMPT if left else None):
                    return await self._connect(loop, family, address)
            except TimeoutError:
                reason = "timed out"
            except OSError as error:
                # the event loop writes the address into an error's own text
                reason = os.strerror(error.errno) if error.errno else type(error).__name__
                denied = isinstance(error, PermissionError)
        raise NetError(Stage.CONNECT, f"could not connect: {reason}", denied=denied)

    @staticmethod
    async def _resolve(loop: asyncio.AbstractEventLoop, endpoint: Endpoint) -> list[tuple[int, tuple[str, int]]]:
        host, port = endpoint.host, endpoint.port
        for family in (socket.AF_INET, socket.AF_INET6):  # the resolver's thread is not needed for addresses
            try:
                socket.inet_pton(family, host)
            except (OSError, ValueError):
                continue
            return [(family, (host, port))]
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NetError(Stage.NAME, "the host's name could not be resolved") from error
        return [(family, (str(address[0]), int(address[1]))) for family, _, _, _, address in found]

    async def _connect(
        self,
        loop: asyncio.AbstractEventLoop,
        family: int,
        address: tuple[str, int],
    ) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if self._source is not None and (":" in self._source) == (family == socket.AF_INET6):
                if hasattr(socket, "IP_BIND_ADDRESS_NO_PORT"):
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((self._source, 0))
            await loop.sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        return sock
