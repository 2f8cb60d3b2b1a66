"""What is said to a proxy before it passes a connection on: SOCKS5 and HTTP CONNECT, as a dialogue without I/O.

Spec: RFC 1928, RFC 1929 (user and password), RFC 9110 §9.3.6, RFC 7617; of Tor's extensions none is needed.

Theory of operation.  A handshake is a generator: it yields what to send and how much to read, is sent what was
read, and returns when the way is free.  Names go to the proxy as they are and are resolved nowhere else.  A reply is
never read beyond its end, for what follows belongs to the far end.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Generator
from typing import Final, NamedTuple

from ramson.world.http import Endpoint, NetError, Stage
from ramson.world.outlets import ProxyAddress, ProxyKind

MAX_HEAD: Final = 8 * 1024  # bytes of an HTTP proxy's answer

_NO_AUTH, _PASSWORD = 0, 2
_CONNECT: Final = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_REFUSALS: Final = {
    1: (Stage.PROXY, "the proxy has a fault of its own"),
    2: (Stage.PROXY, "the proxy's rules forbid it"),
    3: (Stage.CONNECT, "the network cannot be reached from the proxy"),
    4: (Stage.CONNECT, "the host cannot be reached from the proxy"),
    5: (Stage.CONNECT, "the connection was refused"),
    6: (Stage.CONNECT, "the host does not answer"),
    7: (Stage.PROXY, "the proxy cannot connect to others"),
    8: (Stage.PROXY, "the proxy does not take this kind of address"),
}
_GATEWAY: Final = {502, 503, 504}


class Ask(NamedTuple):
    """What to send, and how many bytes to read then; `size` 0 reads up to and with the first empty line."""

    send: bytes
    size: int


Handshake = Generator[Ask, bytes, None]


def handshake(proxy: ProxyAddress, target: Endpoint) -> Handshake:
    """Ask a proxy for a connection to `target`.  Raises NetError: PROXY, or CONNECT for what lies behind it."""
    return _socks5(proxy, target) if proxy.kind is ProxyKind.SOCKS5 else _connect(proxy, target)


def _socks5(proxy: ProxyAddress, target: Endpoint) -> Handshake:
    address = _socks_address(target)
    methods = bytes([_PASSWORD] if proxy.user else [_NO_AUTH])
    version, method = yield Ask(bytes([5, len(methods)]) + methods, 2)
    if version != 5:
        raise NetError(Stage.PROXY, "what answers is no SOCKS5 proxy")
    if method not in methods:
        raise NetError(
            Stage.PROXY, "the proxy wants another kind of login" if proxy.user else "the proxy wants a login"
        )
    if method == _PASSWORD:
        user, password = proxy.user.encode(), proxy.password.encode()
        _, status = yield Ask(bytes([1, len(user)]) + user + bytes([len(password)]) + password, 2)
        if status != 0:
            raise NetError(Stage.PROXY, "the proxy does not accept the login")
    version, reply, _, kind, size = yield Ask(bytes([5, _CONNECT, 0]) + address + target.port.to_bytes(2), 5)
    if version != 5:
        raise NetError(Stage.PROXY, "the proxy's answer makes no sense")
    if reply != 0:
        raise NetError(*_REFUSALS.get(reply, (Stage.PROXY, "the proxy refuses")))
    rest = {_IPV4: 4 + 2 - 1, _IPV6: 16 + 2 - 1, _NAME: size + 2}.get(kind)
    if rest is None:
        raise NetError(Stage.PROXY, "the proxy's answer makes no sense")
    yield Ask(b"", rest)  # from where it connects, which is of no use


def _socks_address(target: Endpoint) -> bytes:
    try:
        address = ipaddress.ip_address(target.host)
    except ValueError:
        name = _ascii(target.host)
        return bytes([_NAME, len(name)]) + name
    return bytes([_IPV4 if address.version == 4 else _IPV6]) + address.packed


def _connect(proxy: ProxyAddress, target: Endpoint) -> Handshake:
    _ascii(target.host)
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.user:
        login = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {login}")
    head = yield Ask(("\r\n".join(lines) + "\r\n\r\n").encode(), 0)
    version, _, rest = head.partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/1.") or not code.isdigit() or len(code) != 3:
        raise NetError(Stage.PROXY, "what answers is no HTTP proxy")
    status = int(code)
    if 200 <= status < 300:
        return
    if status == 407:
        raise NetError(Stage.PROXY, "the proxy does not accept the login" if proxy.user else "the proxy wants a login")
    if status in _GATEWAY:
        raise NetError(Stage.CONNECT, "the host cannot be reached from the proxy")
    raise NetError(Stage.PROXY, "the proxy refuses")


def _ascii(host: str) -> bytes:
    """Return a name as it goes to a proxy.  Raises NetError for what is no name, such as one with a line break."""
    try:
        name = host.encode("idna") if not host.isascii() else host.encode()
    except UnicodeError:
        name = b""
    if not 0 < len(name) < 256 or any(byte <= 32 or byte == 127 for byte in name):
        raise NetError(Stage.NAME, "the host's name cannot be one")
    return name
