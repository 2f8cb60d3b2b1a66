"""A name for the network this machine is in, from its routes; nothing is sent to find out.

Linux tells its routes in /proc/net/route (proc(5)) and /proc/net/ipv6_route; elsewhere, and where neither can be
read, the local address towards a documentation address (RFC 5737, never contacted) has to do.
"""

from __future__ import annotations

import hashlib
import socket
from contextlib import suppress
from pathlib import Path

_ROUTES = Path("/proc/net/route")
_ROUTES_V6 = Path("/proc/net/ipv6_route")
_NOWHERE = ("192.0.2.1", 9)


def fingerprint(routes: Path = _ROUTES, routes_v6: Path = _ROUTES_V6) -> str:
    """Return a hash of the default gateways and the local networks beside them; empty if there is no way out."""
    found = _v4(routes) + _v6(routes_v6) or _towards_nowhere()
    return hashlib.blake2b("\n".join(sorted(found)).encode(), digest_size=16).hexdigest() if found else ""


def _v4(path: Path) -> list[str]:
    """Read the columns interface, destination, gateway."""
    rows = _rows(path)[1:]
    out = {row[0] for row in rows if len(row) > 2 and row[1] == "00000000"}
    return [" ".join(row[:3]) for row in rows if len(row) > 2 and row[0] in out]


def _v6(path: Path) -> list[str]:
    """Read the columns destination, prefix length, source, prefix length, gateway and so on to the interface."""
    return [
        " ".join(("6", row[4], row[-1]))
        for row in _rows(path)
        if len(row) == 10 and row[1] == "00" and row[-1] != "lo" and row[4] != "0" * 32
    ]


def _rows(path: Path) -> list[list[str]]:
    try:
        return [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return []


def _towards_nowhere() -> list[str]:
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(_NOWHERE)  # of a datagram socket: it asks the routing table and sends nothing
        return [str(sock.getsockname()[0])]
    return []
