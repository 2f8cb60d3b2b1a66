"""The channels by which signed node lists reach a client: the package, a file, a web mirror, DNS over HTTPS.

Each is a `ListSource` (`ramson.network.list_source`): it brings bytes and believes nothing.  Bridges are one more, in
`reach.bridge`.  A list from a friend (a file, a picture of a QR code, a message) becomes the *imported* file, and only
because somebody said so.  Spec: REACH *Finding nodes without the seeds*; RFC 8484 for DNS over HTTPS.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ramson.errors import LocalError, ParseError, RemoteError
from ramson.network.entry import Entry
from ramson.network.list_source import ListSource
from ramson.network.profile import NetworkProfile
from ramson.protocol.list_channels import DnsChannel, ListChannels
from ramson.protocol.node_list import MAX_SIZE
from ramson.protocol.node_list_text import from_txt
from ramson.world import Endpoint, HttpRequest, HttpResponse, Tls

if TYPE_CHECKING:
    import dns.message

SUFFIX: Final = ".nodes"
FETCH_TIMEOUT: Final = 10.0  # seconds
DNS_PADDING: Final = 128  # bytes: the question's length says nothing (RFC 8467)
_DNS_MESSAGE: Final = "application/dns-message"
_MAX_DNS: Final = 65_535  # bytes
_PORTS: Final = {"https": 443, "http": 80}


class NoList(RemoteError):
    """A channel has no list to give."""


@dataclass(frozen=True, slots=True)
class ListFile:
    """A list kept in a file of this machine, such as the one that was imported."""

    path: Path
    name: str = "imported list"
    local: bool = True

    async def fetch(self, _entry: Entry) -> bytes:
        """Read it.  Raises NoList."""
        data = self.read()
        if data is None:
            raise NoList("there is no such file")
        return data

    def read(self) -> bytes | None:
        """Return what is in it, None when it cannot be read; a file too large is cut, and so refused later."""
        try:
            with self.path.open("rb") as file:
                return file.read(MAX_SIZE + 1)
        except OSError:
            return None


@dataclass(frozen=True, slots=True)
class Shipped:
    """The list that this package was built with, if its maintainers made one of this network."""

    network: str
    name: str = "list in the package"
    local: bool = True

    async def fetch(self, _entry: Entry) -> bytes:
        """Read it.  Raises NoList."""
        try:
            return resources.files("ramson.reach").joinpath("shipped", self.network + SUFFIX).read_bytes()
        except OSError:
            raise NoList("none was shipped for this network") from None


@dataclass(frozen=True, slots=True)
class Mirror:
    """A directory of any web site in which a list lies as `<network>.nodes`; it learns our address, and no more."""

    url: str
    network: str
    local: bool = False

    @property
    def name(self) -> str:
        """See ListSource."""
        return f"mirror {urlsplit(self.url).hostname}"

    async def fetch(self, entry: Entry) -> bytes:
        """GET the file.  Raises NetError, NoList."""
        target = f"{urlsplit(self.url).path.rstrip('/')}/{self.network}{SUFFIX}"
        reply = await _fetch(entry, self.url, HttpRequest("GET", target, {"Accept": "*/*"}))
        if reply.status != 200:
            raise NoList(f"the mirror has none (status {reply.status})")
        return reply.body


@dataclass(frozen=True, slots=True)
class DnsTxt:
    """TXT records of a DNS name, asked for over HTTPS; the resolver learns our address and the name.

    The resolver is best named by its IP address, so that nothing has to be looked up before.
    """

    channel: DnsChannel
    local: bool = False

    @property
    def name(self) -> str:
        """See ListSource: by the zone, for whoever holds that decides what any resolver says."""
        return f"DNS {self.channel.name}"

    async def fetch(self, entry: Entry) -> bytes:
        """Ask for the records and put them together.  Raises NetError, NoList, ParseError."""
        import dns.exception  # noqa: PLC0415 - few clients ever ask; importing it takes a while
        import dns.message  # noqa: PLC0415 - as above

        try:
            # Id 0, as RFC 8484 asks, so that caches can answer.
            query = dns.message.make_query(self.channel.name, "TXT", use_edns=0, payload=4096, id=0, pad=DNS_PADDING)
            body = query.to_wire()
        except (dns.exception.DNSException, UnicodeError):
            raise LocalError(f"{self.channel.name!r} is no DNS name") from None
        headers = {"Accept": _DNS_MESSAGE, "Content-Type": _DNS_MESSAGE}
        target = urlsplit(self.channel.resolver).path or "/dns-query"
        reply = await _fetch(entry, self.channel.resolver, HttpRequest("POST", target, headers, body))
        if reply.status != 200:
            raise NoList(f"the resolver refuses (status {reply.status})")
        return from_txt(_texts(query, reply.body))


def _texts(query: dns.message.Message, body: bytes) -> list[str]:
    import dns.exception  # noqa: PLC0415 - as above
    import dns.message  # noqa: PLC0415 - as above
    import dns.rcode  # noqa: PLC0415 - as above

    if len(body) > _MAX_DNS:
        raise ParseError("DNS: the answer is too large")
    try:
        message = dns.message.from_wire(body)
        if not isinstance(message, dns.message.QueryMessage) or not query.is_response(message):
            raise ParseError("DNS: the answer is to another question")
        if message.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
            raise NoList(f"the resolver says {dns.rcode.to_text(message.rcode())}")
        answer = message.resolve_chaining().answer
    except (dns.exception.DNSException, ValueError):  # ValueError: a name with an impossible label, for one
        raise ParseError("DNS: the answer makes no sense") from None
    return [b"".join(record.strings).decode("ascii", "replace") for record in answer or ()]


async def _fetch(entry: Entry, url: str, request: HttpRequest) -> HttpResponse:
    parts = urlsplit(url)
    endpoint = Endpoint(parts.hostname or "", parts.port or _PORTS[parts.scheme])
    tls = Tls(verify=True) if parts.scheme == "https" else None
    return await entry.fetch(endpoint, request, tls=tls, timeout=FETCH_TIMEOUT)


def imported_path(directory: Path, network: str) -> Path:
    """Return where the list of a network lies that somebody imported."""
    return directory / "node-lists" / (network + SUFFIX)


def with_lists(
    profile: NetworkProfile, *, channels: ListChannels | None = None, directory: Path | None = None
) -> NetworkProfile:
    """Return the profile with all channels that may bring a list of its nodes.

    `channels` are those of the network's description, `directory` is where imported lists are kept.
    """
    network = profile.authority.network
    lists: list[ListSource] = [Shipped(network)]
    if directory is not None:
        lists.append(ListFile(imported_path(directory, network)))
    if channels is not None:
        lists.extend(Mirror(url, network) for url in channels.mirrors)
        lists.extend(DnsTxt(each) for each in channels.dns)
    return profile.with_lists(lists)
