"""The one door to the outside: time, randomness, blocking work and the network.

Everything above this room is handed a `World` and never touches a socket, a clock or a random
generator by itself.  Two furnishings exist: `ramson.world.real` (sockets) and `ramson.world.simulated`
(virtual time on one event loop, everything drawn from one seed).  Waiting is `asyncio.sleep` and
`asyncio.timeout`: in the simulated world the event loop's own time is virtual.
"""

from ramson.world.daemon import BadDaemonAddress, ConnectionWatcher, DaemonAddress, DaemonLink, MissingExtra
from ramson.world.http import (
    AddressRefused,
    CannotListen,
    Certificate,
    Endpoint,
    HttpHandler,
    HttpLimits,
    HttpRequest,
    HttpResponse,
    Listener,
    NetError,
    Stage,
    Tls,
)
from ramson.world.outlets import (
    BadProxyAddress,
    ProxyAddress,
    ProxyKind,
    RunningTransport,
    TransportFailed,
    TransportProgram,
)
from ramson.world.peers import Command, Origin, PeerAddress, PeerLink, PeerRefused, PeerTimeout, Reply
from ramson.world.quic import QuicAnswer, QuicHandler, QuicLimits, QuicListener, QuicRoute
from ramson.world.world import Clock, Disk, Net, Outlets, World

__all__ = [
    "AddressRefused",
    "BadDaemonAddress",
    "BadProxyAddress",
    "CannotListen",
    "Certificate",
    "Clock",
    "Command",
    "ConnectionWatcher",
    "DaemonAddress",
    "DaemonLink",
    "Disk",
    "Endpoint",
    "HttpHandler",
    "HttpLimits",
    "HttpRequest",
    "HttpResponse",
    "Listener",
    "MissingExtra",
    "Net",
    "NetError",
    "Origin",
    "Outlets",
    "PeerAddress",
    "PeerLink",
    "PeerRefused",
    "PeerTimeout",
    "ProxyAddress",
    "ProxyKind",
    "QuicAnswer",
    "QuicHandler",
    "QuicLimits",
    "QuicListener",
    "QuicRoute",
    "Reply",
    "RunningTransport",
    "Stage",
    "Tls",
    "TransportFailed",
    "TransportProgram",
    "World",
]
