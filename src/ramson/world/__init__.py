"""The one door to the outside: time, randomness, blocking work and the network.

Everything above this room is handed a `World` and never touches a socket, a clock or a random
generator by itself.  Two furnishings exist: `ramson.world.real` (sockets) and `ramson.world.simulated`
(virtual time on one event loop, everything drawn from one seed).  Waiting is `asyncio.sleep` and
`asyncio.timeout`: in the simulated world the event loop's own time is virtual.
"""

from ramson.world.daemon import BadDaemonAddress, ConnectionWatcher, DaemonAddress, DaemonLink
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
from ramson.world.peers import Command, Origin, PeerAddress, PeerLink, PeerRefused, PeerTimeout, Reply
from ramson.world.world import Clock, Disk, Net, World

__all__ = [
    "AddressRefused",
    "BadDaemonAddress",
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
    "Net",
    "NetError",
    "Origin",
    "PeerAddress",
    "PeerLink",
    "PeerRefused",
    "PeerTimeout",
    "Reply",
    "Stage",
    "Tls",
    "World",
]
