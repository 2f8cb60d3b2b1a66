"""What addresses are good for: which a relay may connect to for a stranger, and which are this machine's alone.

A relay connects to addresses that anyone on the internet could reach.  A node must not be the way into its own machine,
its operator's network or its provider's metadata service.
"""

from __future__ import annotations

import ipaddress
from typing import Final

# Ways to write an IPv4 address as an IPv6 one: what is reached is the IPv4 address at the end.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Tell whether an IP address is globally reachable unicast; also judged by the IPv4 address hidden in it."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None or ip.teredo is not None:
            return False
        hidden = ip.ipv4_mapped or ip.sixtofour
        if hidden is None and ip in _NAT64:
            hidden = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if hidden is not None:
            return is_public(str(hidden))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
