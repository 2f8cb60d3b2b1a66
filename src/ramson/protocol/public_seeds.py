"""The seeds of the public networks and the SHA-256 of their certificates' keys.  Spec: bootstrap-and-paths.md §2.1."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ramson.protocol.network_file import Seed


def _seed(url: str, pin: str) -> Seed:
    return Seed(url, b64decode(pin, validate=True))


MAINNET: Final = (
    _seed("https://seed1.getsession.org:4443/json_rpc", "mlYTXvkmIEYcpswANTpnBwlz9Cswi0py/RQKkbdQOZQ="),
    _seed("https://seed2.getsession.org:4443/json_rpc", "ZuUxe4wopBR83Yy5fePPNX0c00BnkQCu/49oapFpB0k="),
    _seed("https://seed3.getsession.org:4443/json_rpc", "4xe+8k1NjxerVTjUsWlZJNKt3PA7Y31pUls2tHYippA="),
)
TESTNET: Final = (Seed("http://seed2.getsession.org:38157/json_rpc"),)
PUBLIC_SEEDS: Final[Mapping[str, tuple[Seed, ...]]] = MappingProxyType({"mainnet": MAINNET, "testnet": TESTNET})
