"""Asking a resolver over HTTPS for a name's addresses, to hold them against what this machine's resolver says.

Spec: RFC 8484, 8467.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from ramson.errors import ParseError
from ramson.reach.node_lists import DNS_PADDING
from ramson.world import Endpoint, HttpRequest, Net, Tls

_MESSAGE = "application/dns-message"
_MAX_ANSWER = 16 * 1024  # bytes
_PORTS = {"https": 443, "http": 80}


async def addresses(net: Net, resolver: str, name: str, *, seconds: float) -> frozenset[str]:
    """Return the IPv4 addresses of a name as the resolver tells them.  Raises NetError, ParseError."""
    import dns.exception  # noqa: PLC0415 - few ever compare names; importing it takes a while
    import dns.message  # noqa: PLC0415 - as above

    try:
        query = dns.message.make_query(name, "A", use_edns=0, payload=4096, id=0, pad=DNS_PADDING)
        body = query.to_wire()
    except (dns.exception.DNSException, UnicodeError):
        raise ParseError("not a DNS name") from None
    parts = urlsplit(resolver)
    reply = await net.request(
        Endpoint(parts.hostname or "", parts.port or _PORTS[parts.scheme]),
        HttpRequest("POST", parts.path or "/dns-query", {"Accept": _MESSAGE, "Content-Type": _MESSAGE}, body),
        tls=Tls(verify=True) if parts.scheme == "https" else None,
        timeout=seconds,
        max_reply=_MAX_ANSWER,
    )
    if reply.status != 200:
        raise ParseError(f"DNS: the resolver refuses (status {reply.status})")
    try:
        message = dns.message.from_wire(reply.body)
        if not isinstance(message, dns.message.QueryMessage) or not query.is_response(message):
            raise ParseError("DNS: the answer is to another question")
        answer = message.resolve_chaining().answer
    except (dns.exception.DNSException, ValueError):
        raise ParseError("DNS: the answer makes no sense") from None
    return frozenset(str(record.address) for record in answer or ())
