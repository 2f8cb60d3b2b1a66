"""How a bridge is set up: a TOML file, the environment, or both.

docs/bridge.md tells volunteers.  Secrets are not in here but in the directory's key file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from ramson.errors import LocalError
from ramson.protocol.bridge import MAX_TOTAL
from ramson.world import Endpoint

CONFIG_VARIABLE: Final = "RAMSON_BRIDGE_CONFIG"
PREFIX: Final = "RAMSON_BRIDGE_"
FROM_ENVIRONMENT: Final = ("directory", "network", "site", "cover", "node_list", "forwarded_hops")
DEFAULT_LISTEN: Final = Endpoint("127.0.0.1", 8080)
MAX_CONFIG: Final = 1024 * 1024


class BadBridgeConfig(LocalError):
    """The configuration cannot be used; the message names the setting."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the people who have a link may use.

    Requests are counted in all, per address, and per link and day.  `max_transfers` onion requests are on their way to
    guards at a time, each of which may bring a reply of 16 MiB; `max_kept` bytes are held for transfers in pieces.
    """

    requests_per_second: float = 50.0
    request_burst: float = 2000.0  # fifty people who start at the same moment
    address_requests_per_second: float = 20.0
    address_burst: float = 300.0
    requests_per_day: int = 1_000_000
    max_transfers: int = 64  # an onion request takes a second or two, so this goes with requests_per_second
    max_kept: int = 128 * 1024**2
    max_connections: int = 1000

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise BadBridgeConfig(f"`{name}` must be more than 0")
        if self.max_kept < 2 * MAX_TOTAL:
            raise BadBridgeConfig(f"`max_kept` is at least {2 * MAX_TOTAL}: a request and its reply must fit")


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """The settings of one bridge.

    `directory` holds secrets, used tickets and the last list of nodes.  `site` is the URL under which visitors see the
    bridge, for links.  `cover` is a directory of static files, None for the plain page.  With `certificate` and
    `private_key` (PEM files) it speaks HTTPS itself, else it has to listen at loopback behind a web server.
    `forwarded_hops` is how many proxies of one's own put addresses to X-Forwarded-For, `node_list` a file with the
    signed list of nodes, `metrics` where numbers can be read on this machine.  With `obfs4` that transport's program
    listens there and leads to the bridge.
    """

    directory: Path
    network: str = "mainnet"
    site: str = field(default="", repr=False)
    cover: Path | None = None
    listen: Endpoint = DEFAULT_LISTEN
    certificate: Path | None = None
    private_key: Path | None = None
    node_list: Path | None = None
    metrics: Endpoint | None = None
    forwarded_hops: int = 1
    allow_private: bool = False
    obfs4: Endpoint | None = None
    obfs4_program: str = "obfs4proxy"
    limits: Limits = field(default_factory=Limits)


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    directory: str = ""
    network: str = "mainnet"
    site: str = ""
    cover: str = ""
    listen: str = "127.0.0.1:8080"
    certificate: str = ""
    private_key: str = ""
    node_list: str = ""
    metrics: str = ""
    forwarded_hops: int = 1
    allow_private: bool = False
    obfs4: str = ""
    obfs4_program: str = "obfs4proxy"
    limits: Limits = Limits()


def parse(text: str, overrides: Mapping[str, Any]) -> BridgeConfig:
    """Read a configuration; `overrides` count more than the text.  Raises BadBridgeConfig."""
    try:
        values: dict[str, Any] = tomllib.loads(text) | dict(overrides)
        document = msgspec.convert(values, _Document, strict=True)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadBridgeConfig(f"the configuration is wrong: {error}") from None
    if not document.directory:
        raise BadBridgeConfig("no directory", remedy="Set `directory`, or give --dir.")
    if bool(document.certificate) != bool(document.private_key):
        raise BadBridgeConfig("`certificate` and `private_key` belong together")
    if not 0 <= document.forwarded_hops <= 10:
        raise BadBridgeConfig("`forwarded_hops` is a small number")
    return BridgeConfig(
        directory=Path(document.directory),
        network=document.network,
        site=document.site,
        cover=_path(document.cover),
        listen=_endpoint(document.listen),
        certificate=_path(document.certificate),
        private_key=_path(document.private_key),
        node_list=_path(document.node_list),
        metrics=_loopback(document.metrics),
        forwarded_hops=document.forwarded_hops,
        allow_private=document.allow_private,
        obfs4=_endpoint(document.obfs4) if document.obfs4 else None,
        obfs4_program=document.obfs4_program,
        limits=document.limits,
    )


def from_environment(environment: Mapping[str, str] = os.environ, **overrides: Any) -> BridgeConfig:
    """Read the file that RAMSON_BRIDGE_CONFIG names, if it does, and RAMSON_BRIDGE_DIRECTORY, …_NETWORK and so on.

    Raises BadBridgeConfig.
    """
    path = environment.get(CONFIG_VARIABLE)
    found: dict[str, Any] = {
        name: environment[PREFIX + name.upper()] for name in FROM_ENVIRONMENT if PREFIX + name.upper() in environment
    }
    if (hops := found.get("forwarded_hops")) is not None and hops.isascii() and hops.isdigit():
        found["forwarded_hops"] = int(hops[:3])
    return parse(read(Path(path)) if path else "", found | overrides)


def read(path: Path) -> str:
    """Return a configuration file's text.  Raises BadBridgeConfig."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_CONFIG).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise BadBridgeConfig(f"the configuration cannot be read: {type(error).__name__}") from None


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _endpoint(text: str) -> Endpoint:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port[:6]) >= 2**16:
        raise BadBridgeConfig(f"not an address to listen at: {text!r}", remedy="Write HOST:PORT, such as 0.0.0.0:443.")
    return Endpoint(host.strip("[]"), int(port))


def _loopback(text: str) -> Endpoint | None:
    if not text:
        return None
    endpoint = _endpoint(text)
    if not endpoint.host.startswith("127.") and endpoint.host not in {"localhost", "::1"}:
        raise BadBridgeConfig("`metrics` can be shown on this machine only", remedy="Write 127.0.0.1:PORT.")
    return endpoint
