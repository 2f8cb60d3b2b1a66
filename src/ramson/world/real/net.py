"""`world.Net` on real sockets: the listener, the client and the peer link put together."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from ramson.crypto.keys import Ed25519KeyPair, X25519KeyPair
from ramson.world.daemon import ConnectionWatcher, DaemonAddress, DaemonLink, Heard, MissingExtra, unheard
from ramson.world.http import Certificate, Endpoint, HttpHandler, HttpLimits, HttpRequest, HttpResponse, Tls
from ramson.world.omq_engine import OmqEngine
from ramson.world.peers import Command
from ramson.world.quic import QuicAnswer, QuicHandler, QuicLimits, QuicListener
from ramson.world.real.client import HttpClient
from ramson.world.real.dialer import Dialer, DirectDialer
from ramson.world.real.listener import HttpListener, listen


class RealNet:
    """The network of this machine.

    `source` is the local address to call from, for machines with several; with `split` each ClientHello is cut.
    """

    def __init__(
        self, entropy: random.Random, *, source: str | None = None, dialer: Dialer | None = None, split: bool = False
    ) -> None:
        self._entropy = entropy
        self._source = source
        self._dialer = dialer or DirectDialer(source)
        self._split = split
        self._client: HttpClient | None = None

    async def request(
        self,
        endpoint: Endpoint,
        request: HttpRequest,
        *,
        tls: Tls | None,
        timeout: float,  # noqa: ASYNC109 - the promise to the caller, with an error of its own
        max_reply: int = 16 * 1024 * 1024,
        allow: Callable[[str], bool] | None = None,
    ) -> HttpResponse:
        """See world.Net."""
        if self._client is None:
            self._client = HttpClient(self._dialer, split=self._split)
        return await self._client.request(endpoint, request, tls=tls, timeout=timeout, max_reply=max_reply, allow=allow)

    async def listen(
        self, endpoint: Endpoint, handler: HttpHandler, *, certificate: Certificate | None, limits: HttpLimits
    ) -> HttpListener:
        """See world.Net."""
        return await listen(endpoint, handler, certificate=certificate, limits=limits)

    async def link(
        self,
        identity: X25519KeyPair,
        commands: Mapping[str, Command],
        *,
        listen: Endpoint | None,
        max_message: int = 10 * 1024 * 1024,
    ) -> OmqEngine:
        """See world.Net.  Needs the extra `ramson[node]`."""
        from ramson.world.real.omq import ZmqTransport  # noqa: PLC0415 - clients are installed without pyzmq

        transport = ZmqTransport(identity, listen=listen, source=self._source, max_message=max_message)
        return OmqEngine(transport, commands, self._entropy)

    async def dial(
        self,
        address: DaemonAddress,
        commands: Mapping[str, Command],
        *,
        identity: X25519KeyPair | None = None,
        watcher: ConnectionWatcher | None = None,
        heard: Heard = unheard,
        max_message: int = 16 * 1024 * 1024,
    ) -> DaemonLink:
        """See world.Net.  Needs the extra `ramson[node]`."""
        try:
            from ramson.world.real.daemon import dial  # noqa: PLC0415 - clients are installed without pyzmq
        except ModuleNotFoundError as error:
            raise MissingExtra(
                f"{error.name} is not installed, without which nothing can be heard of a node or daemon at once",
                remedy="Run: pip install 'ramson[node]'",
            ) from error

        return dial(
            address,
            commands,
            identity=identity,
            source=self._source,
            watcher=watcher,
            heard=heard,
            max_message=max_message,
            entropy=self._entropy,
        )

    async def listen_quic(
        self, endpoint: Endpoint, identity: Ed25519KeyPair, handler: QuicHandler, *, limits: QuicLimits
    ) -> QuicListener:
        """See world.Net.  Needs the extra `ramson[node]`."""
        from ramson.world.real.quic import listen_quic  # noqa: PLC0415 - it takes memory that few need

        return await listen_quic(endpoint, identity, handler, limits)

    async def ask_quic(
        self,
        endpoint: Endpoint,
        key: bytes,
        name: str,
        body: bytes,
        *,
        identity: Ed25519KeyPair,
        timeout: float,  # noqa: ASYNC109 - the promise to the caller, with an error of its own
    ) -> QuicAnswer:
        """See world.Net.  Needs the extra `ramson[node]`."""
        from ramson.world.real.quic_client import ask  # noqa: PLC0415 - it takes memory that few need

        return await ask(endpoint, key, name, body, identity=identity, source=self._source, seconds=timeout)

    async def close(self) -> None:
        """Close idle client connections."""
        if self._client is not None:
            await self._client.close()
