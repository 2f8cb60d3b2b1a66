"""Whom an address stands for when requests and connections are counted.

An IPv4 address is one caller, or the many behind one translator.  A host with IPv6 is given a network of 64 bits, from
which it can take a new address for every packet; so what is counted is the network.
"""

from __future__ import annotations

import ipaddress


def caller(address: str) -> str:
    """Return what to count for an address: an IPv4 address itself, of an IPv6 one its /64; anything else as it is."""
    if ":" not in address:
        return address
    try:
        ip = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(ip) >> 64 << 64)}/64"
