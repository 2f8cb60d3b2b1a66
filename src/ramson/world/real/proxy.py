"""Connections through a proxy.  The only address this machine ever connects to, or looks up, is the proxy's own."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from ramson.errors import LocalError
from ramson.world.http import Endpoint, NetError, Stage
from ramson.world.outlets import ProxyAddress
from ramson.world.proxy_handshake import MAX_HEAD, Handshake, handshake
from ramson.world.real.dialer import At, Dialer

CIRCUITS = 256  # far ends whose names for the proxy are remembered


class ProxyDialer:
    """Dials the proxy by `below` and has it connect on."""

    def __init__(self, proxy: ProxyAddress, below: Dialer, entropy: random.Random) -> None:
        self._proxy = proxy
        self._below = below
        self._entropy = entropy
        self._names: OrderedDict[Endpoint, str] = OrderedDict()

    async def connect(self, endpoint: Endpoint, allow: Callable[[str], bool] | None, at: At) -> socket.socket:
        """See Dialer."""
        if allow is not None:
            raise LocalError("who goes through a proxy cannot choose among the addresses of a name")
        at(Stage.PROXY)
        try:
            sock = await self._below.connect(self._proxy.endpoint, None, lambda _: None)
        except NetError as error:
            raise NetError(Stage.PROXY, f"the proxy cannot be reached: {error}") from None
        try:
            await converse(sock, handshake(self._shown_to(endpoint), endpoint))
        except BaseException:
            sock.close()
            raise
        return sock

    def _shown_to(self, endpoint: Endpoint) -> ProxyAddress:
        """Return the proxy with the name under which this far end is asked for."""
        if not self._proxy.isolate:
            return self._proxy
        name = self._names.pop(endpoint, None) or self._entropy.randbytes(16).hex()
        self._names[endpoint] = name
        if len(self._names) > CIRCUITS:
            self._names.popitem(last=False)
        return replace(self._proxy, user=name, password=name, isolate=False)


async def converse(sock: socket.socket, dialogue: Handshake) -> None:
    """Lead a handshake on a connected, non-blocking socket.  Raises NetError."""
    loop = asyncio.get_running_loop()
    try:
        ask = next(dialogue)
        while True:
            if ask.send:
                await loop.sock_sendall(sock, ask.send)
            ask = dialogue.send(await (_exactly(sock, ask.size) if ask.size else _head(sock)))
    except StopIteration:
        return
    except OSError as error:
        raise NetError(Stage.PROXY, "the proxy broke the connection") from error


async def _exactly(sock: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < size:
        more = await loop.sock_recv(sock, size - len(data))
        if not more:
            raise NetError(Stage.PROXY, "the proxy broke the connection")
        data += more
    return bytes(data)


async def _head(sock: socket.socket) -> bytes:
    """Read up to the empty line, byte by byte: what follows is not ours to take."""
    data = bytearray()
    while not data.endswith((b"\r\n\r\n", b"\n\n")):
        if len(data) >= MAX_HEAD:
            raise NetError(Stage.PROXY, "the proxy's answer is too long")
        data += await _exactly(sock, 1)
    return bytes(data)
