"""What a person says about the way out: a pinned route, proxies, bridges, transports, a country, the nodes of paths.

It comes from one TOML file, from the environment, and from the command line, the later before the earlier.  All of it
may be secret: nothing here shows a value in a repr, an error or a log, and nothing is written.

    route = "auto"                       # or direct, split, proxy, bridge, transport: that one and no other
    country = "IR"                       # which order of routes to begin with; told to nobody
    proxies = ["socks5://user:password@127.0.0.1:1080", "tor://127.0.0.1:9050"]
    bridges = ["ramson-bridge:https://…"]

    [[transports]]
    line = "obfs4 192.0.2.7:443 cert=… iat-mode=0"
    bridge = "ramson-bridge:http://127.0.0.1:8080/…"
    program = ["/usr/bin/obfs4proxy"]    # may be left out for the usual programs

    [hops]
    avoid = ["RU", "185.0.0.0/8"]        # countries and networks whose nodes paths are not made of
    only = []                            # or: those alone
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ramson.errors import LocalError
from ramson.network.hop_policy import ANY_NODE, HopPolicy
from ramson.protocol.bridge import BridgeLink
from ramson.protocol.bridge.link import parse as parse_link
from ramson.reach.route import Rung
from ramson.reach.transport_line import TransportLine
from ramson.world import ProxyAddress

AUTO: Final = "auto"
ROUTES: Final = {rung.name.lower(): rung for rung in Rung}
MAX_FILE: Final = 1024 * 1024  # bytes

# What speaks a transport where the settings name no program, the first that is installed.
USUAL_PROGRAMS: Final[Mapping[str, tuple[str, ...]]] = {
    "obfs4": ("obfs4proxy", "lyrebird"),
    "snowflake": ("snowflake-client", "lyrebird"),
    "webtunnel": ("webtunnel-client", "lyrebird"),
    "meek_lite": ("obfs4proxy", "lyrebird"),
}

_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_KEYS: Final = frozenset({"route", "country", "proxies", "bridges", "transports", "hops"})
_TRANSPORT_KEYS: Final = frozenset({"line", "bridge", "program"})
_HOPS_KEYS: Final = frozenset({"avoid", "only"})


class ReachSettingsError(LocalError):
    """The settings of the way out cannot be used; the text says which, and quotes no value."""


@dataclass(frozen=True, slots=True)
class TransportBridge:
    """A bridge behind a transport: how its transport is reached, the link of the bridge itself, and who speaks it."""

    line: TransportLine
    link: BridgeLink
    program: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReachSettings:
    """`pinned` is the only rung that may be used (None: choose); `country` two letters, or empty.

    `hops` says which nodes paths are made of; `path` (Ed25519 keys of guard, middle and last) is the path that is taken
    while it works, none if it is empty.
    """

    pinned: Rung | None = None
    proxies: tuple[ProxyAddress, ...] = field(default=(), repr=False)
    bridges: tuple[BridgeLink, ...] = field(default=(), repr=False)
    transports: tuple[TransportBridge, ...] = field(default=(), repr=False)
    country: str = ""
    hops: HopPolicy = ANY_NODE
    path: tuple[bytes, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        needed = {Rung.PROXY: self.proxies, Rung.BRIDGE: self.bridges, Rung.TRANSPORT: self.transports}
        if self.pinned in needed and not needed[self.pinned]:
            raise ReachSettingsError(
                f"the route is to be {self.pinned.name.lower()}, but there is none to use",
                remedy="Give one, or let the route be auto.",
            )

    @property
    def straight(self) -> bool:
        """Whether nothing here says that this device goes, or may go, by another way than the straight one."""
        if self.pinned is not None:
            return self.pinned is Rung.DIRECT
        return not (self.proxies or self.bridges or self.transports)

    def for_network(self, name: str) -> ReachSettings:
        """Return these settings without the bridges that lead to other networks.  Raises ReachSettingsError."""
        return replace(
            self,
            bridges=tuple(link for link in self.bridges if link.network == name),
            transports=tuple(each for each in self.transports if each.link.network == name),
        )

    def changed(
        self,
        *,
        route: str | None = None,
        proxy: str | None = None,
        bridge: str | None = None,
        country: str | None = None,
    ) -> ReachSettings:
        """Return these settings with what was said elsewhere; a proxy or bridge given so takes the place of all.

        A proxy given alone is also pinned: who names a proxy does not want to be seen without it.
        Raises ReachSettingsError, BadProxyAddress, BadBridgeLink.
        """
        changes: dict[str, Any] = {}
        if proxy:
            changes["proxies"] = (ProxyAddress.parse(proxy),)
            changes["pinned"] = Rung.PROXY
        if bridge:
            changes["bridges"] = (parse_link(bridge),)
        if route:
            changes["pinned"] = _rung(route)
        if country:
            changes["country"] = _country(country)
        return replace(self, **changes)


NO_WISHES: Final = ReachSettings()


def parse(data: bytes, *, bridges: tuple[BridgeLink, ...] = ()) -> ReachSettings:
    """Read the file; `bridges` are those known from elsewhere.

    Raises ReachSettingsError, BadProxyAddress, BadBridgeLink, BadTransportLine, BadHopPolicy.
    """
    if len(data) > MAX_FILE:
        raise ReachSettingsError("the settings of the way out are too long")
    try:
        table = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        raise ReachSettingsError("the settings of the way out are not TOML") from None
    _only(table, _KEYS)
    transports = table.get("transports", [])
    if not isinstance(transports, list) or not all(isinstance(each, dict) for each in transports):
        raise ReachSettingsError("`transports` must be tables", remedy="Write [[transports]] before each.")
    return ReachSettings(
        _rung(_text(table, "route", AUTO)),
        tuple(map(ProxyAddress.parse, _texts(table, "proxies"))),
        (*map(parse_link, _texts(table, "bridges")), *bridges),
        tuple(map(_transport, transports)),
        _country(_text(table, "country", "")),
        _hops(table.get("hops", {})),
    )


def _hops(table: object) -> HopPolicy:
    if not isinstance(table, dict):
        raise ReachSettingsError("`hops` must be a table", remedy="Write [hops] before `avoid` and `only`.")
    _only(table, _HOPS_KEYS)
    return HopPolicy.parse(avoid=_texts(table, "avoid"), only=_texts(table, "only"))


def _transport(table: Mapping[str, Any]) -> TransportBridge:
    _only(table, _TRANSPORT_KEYS)
    line = TransportLine.parse(_text(table, "line"))
    program = _texts(table, "program")
    if not program and line.method not in USUAL_PROGRAMS:
        raise ReachSettingsError("no program is known for this transport", remedy='Name it: program = ["/path/to/it"].')
    return TransportBridge(line, parse_link(_text(table, "bridge")), program)


def _rung(name: str) -> Rung | None:
    if name == AUTO:
        return None
    if name not in ROUTES:
        raise ReachSettingsError("there is no such route", remedy=f"Choose one of {', '.join([AUTO, *ROUTES])}.")
    return ROUTES[name]


def _country(text: str) -> str:
    if text and not _COUNTRY.fullmatch(text.upper()):
        raise ReachSettingsError("a country is written with two letters", remedy="Such as IR; see ISO 3166.")
    return text.upper()


def _only(table: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in table:
        if key not in known:
            raise ReachSettingsError(f"there is no setting {key!r}", remedy=f"There are {', '.join(sorted(known))}.")


def _text(table: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise ReachSettingsError(f"`{key}` must be a text in quotes")
    return value


def _texts(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ReachSettingsError(f"`{key}` must be a list of texts in quotes")
    return tuple(value)
