"""The link of a bridge: all that a client needs to use it, as one line to paste, send or show as a QR code.

    ramson-bridge:https://example.org/notes/?v=1&net=mainnet&key=<43>[&pin=<43>][&front=cdn.example.net]

    site    where tickets are put behind; the path ends with a slash.  http only on this machine
    net     the name of the network that the bridge leads to
    key     the secret, 32 bytes in base64url without padding; whoever has it can use the bridge and find it
    pin     SHA-256 of the certificate's public key; without one, the public authorities decide
    front   a name of the same CDN that is shown to whoever watches, in place of the site's

There is one way to write a link: parameters in this order and no others.  The link is a secret: no repr shows it.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Final

from ramson.errors import ParseError
from ramson.protocol.bridge.ticket import SECRET_SIZE

SCHEME: Final = "ramson-bridge:"
VERSION: Final = 1
MAX_LINK: Final = 800
PIN_SIZE: Final = 32

_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = (
    r"(?=[a-z0-9.-]{1,253}(?![a-z0-9.-]))[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
)
_KEY: Final = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
_SITE: Final = re.compile(rf"(https?)://({_NAME})(?::([1-9][0-9]{{0,4}}))?((?:/[A-Za-z0-9._~-]+)*/)")
_VERSION: Final = re.compile(r"v=([0-9]{1,4})(?:&|$)")
_REST: Final = re.compile(rf"v=1&net=([a-z0-9.-]{{1,64}})&key=({_KEY})(?:&pin=({_KEY}))?(?:&front=({_NAME}))?")
_ON_THIS_MACHINE: Final = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}")


class BadBridgeLink(ParseError):
    """Not the link of a bridge, or of one that this version cannot use; the text says why and quotes nothing."""


@dataclass(frozen=True, slots=True)
class BridgeLink:
    """A bridge as its clients know it.  `host` is a name or an IPv4 address, `path` begins and ends with a slash."""

    host: str = field(repr=False)
    port: int = field(repr=False)
    path: str = field(repr=False)
    secret: bytes = field(repr=False)
    network: str
    tls: bool = True
    pin: bytes | None = field(default=None, repr=False)
    front: str | None = field(default=None, repr=False)

    @property
    def site(self) -> str:
        """The URL behind which tickets are put."""
        scheme = "https" if self.tls else "http"
        port = "" if self.port == _PORTS[scheme] else f":{self.port}"
        return f"{scheme}://{self.host}{port}{self.path}"

    @property
    def uri(self) -> str:
        """The link, with the secret in it."""
        pin = "" if self.pin is None else f"&pin={_write(self.pin)}"
        front = "" if self.front is None else f"&front={self.front}"
        return f"{SCHEME}{self.site}?v={VERSION}&net={self.network}&key={_write(self.secret)}{pin}{front}"


def parse(text: str) -> BridgeLink:
    """Read a link.  Raises BadBridgeLink."""
    if len(text) > MAX_LINK or not text.startswith(SCHEME):
        raise BadBridgeLink("not the link of a bridge", remedy=f"It begins with {SCHEME} and is one line.")
    site, _, parameters = text.removeprefix(SCHEME).partition("?")
    version = _VERSION.match(parameters)
    if version is not None and int(version[1]) > VERSION:
        raise BadBridgeLink("this bridge's link needs a newer version of ramson", remedy="Upgrade ramson.")
    found, rest = _SITE.fullmatch(site), _REST.fullmatch(parameters)
    if found is None or rest is None:
        raise BadBridgeLink("the bridge's link is damaged", remedy="Ask for it again, and take the whole line.")
    scheme, host, port = found[1], found[2], int(found[3] or _PORTS[found[1]])
    if port > 65_535 or (found[3] is not None and port == _PORTS[scheme]):
        raise BadBridgeLink("the bridge's link names no possible port")
    if scheme == "http" and (not _ON_THIS_MACHINE.fullmatch(host) or rest[3] or rest[4]):
        raise BadBridgeLink("a bridge without TLS can be on this machine only")
    pin = None if rest[3] is None else _read(rest[3])
    return BridgeLink(host, port, found[4], _read(rest[2]), rest[1], tls=scheme == "https", pin=pin, front=rest[4])


def make(site: str, secret: bytes, network: str, *, pin: bytes | None = None, front: str | None = None) -> BridgeLink:
    """Return the link of a bridge at the URL `site`.  Raises BadBridgeLink if the parts make no link."""
    if len(secret) != SECRET_SIZE or (pin is not None and len(pin) != PIN_SIZE):
        raise BadBridgeLink("a bridge's secret and pin have 32 bytes each")
    if not _SITE.fullmatch(site):
        raise BadBridgeLink(
            "not the URL of a site", remedy="Write https://host/path/, in lower case, with a slash last."
        )
    extra = ("" if pin is None else f"&pin={_write(pin)}") + ("" if front is None else f"&front={front}")
    return parse(f"{SCHEME}{site}?v={VERSION}&net={network}&key={_write(secret)}{extra}")


def _write(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _read(text: str) -> bytes:
    return urlsafe_b64decode(text + "=")
