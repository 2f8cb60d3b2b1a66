"""A node's configuration file: one TOML file, in which every option has a default and an explanation.

`Settings` is the one list of options: the file that `ramson node config` prints, the table in docs/node.md and the
checks of what an operator wrote all follow from it.  Nothing is read or opened here; a mistake is an error that names
option and line, and says what to write instead.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from ramson.errors import LocalError
from ramson.node.config import NodeConfig
from ramson.world import Endpoint

MIB: Final = 1024 * 1024

Value = str | int | bool

_TYPES: Final = {str: "a text in quotes", int: "a whole number", bool: "true or false"}


class SettingsError(LocalError):
    """The configuration cannot be used; the message says which option, and the remedy what to write."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: `key` is section and name, `choices` or `least` and `most` bound what it may be."""

    key: str
    default: Value
    explanation: str
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 2**53

    @property
    def section(self) -> str:
        """The section it stands in; empty for those before all sections."""
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        """Its name within the section."""
        return self.key.rpartition(".")[2]

    @property
    def attribute(self) -> str:
        """The name it has in `Settings`."""
        return self.key.replace(".", "_")

    def check(self, value: object) -> Value:
        """Return the value if it may be.  Raises SettingsError without a place."""
        wanted = type(self.default)
        if type(value) is not wanted:
            raise SettingsError(
                f"{self.key} must be {_TYPES[wanted]}", remedy=f"write, for example: {self.name} = {toml(self.default)}"
            )
        if self.choices and value not in self.choices:
            raise SettingsError(
                f"{self.key} cannot be {toml(value)}", remedy=f"choose one of {', '.join(self.choices)}"
            )
        if isinstance(value, int) and wanted is int and not self.least <= value <= self.most:
            raise SettingsError(
                f"{self.key} cannot be {toml(value)}", remedy=f"write a number from {self.least} to {self.most}"
            )
        return value


OPTIONS: Final = (
    Option(
        "data_dir",
        "/var/lib/ramson",
        "Where keys, certificate and messages live. Only the user the node runs as may have access (mode 0700).",
    ),
    Option(
        "network.oxend",
        "",
        "The oxend this node stands beside: ipc:///PATH, tcp://HOST:PORT, or curve://HOST:PORT/KEY. The node's keys and"
        " the list of nodes come from it. Either this or network.file.",
    ),
    Option("network.file", "", "The network.json of a closed or test network, instead of an oxend."),
    Option("network.name", "", "Which node of that file this is."),
    Option("network.testnet", False, "Beside an oxend: whether it is one of the test network."),
    Option(
        "network.seeds",
        True,
        "Beside an oxend: ask the network's seeds how long the chain is when oxend knows few nodes.",
    ),
    Option(
        "listen.address",
        "",
        "The address to listen at. Empty: beside an oxend all addresses (0.0.0.0), otherwise as the network file says.",
    ),
    Option(
        "listen.https_port",
        0,
        "The TCP port for clients and pings. Other nodes must reach it under this very number. 0: 22021 (on the test"
        " network 38155), or as the network file says.",
        most=65535,
    ),
    Option(
        "listen.omq_port",
        0,
        "The TCP port for other nodes. 0: 22020 (on the test network 38154), or as the network file says.",
        most=65535,
    ),
    Option(
        "listen.quic",
        True,
        "Answer over QUIC as well, at the UDP port with the number of listen.omq_port, and test other nodes over it."
        " From hardfork 19.4 on, nodes of the public network call a node unreachable that does not.",
    ),
    Option(
        "limits.database_mib",
        3584,
        "How large the database may grow, in MiB. Beyond it, what has expired goes first, then what is remembered of"
        " deleted messages; then new messages are refused. No message that still lives is thrown away.",
        least=1,
        most=1024 * 1024,
    ),
    Option(
        "limits.connections",
        10_000,
        "HTTPS connections at one time. When there are more, those that have waited for longest are closed, of the"
        " address that has most.",
        least=1,
        most=1_000_000,
    ),
    Option(
        "limits.connections_per_address",
        1_000,
        "Of these, those of one IPv4 address or one IPv6 network (/64). Many people may share an address.",
        least=1,
        most=1_000_000,
    ),
    Option("tests.peers", True, "Test whether other nodes can be reached, and tell oxend."),
    Option("tests.storage", True, "Test whether the other members of the swarm keep the messages they should."),
    Option(
        "metrics.listen",
        "",
        "HOST:PORT on loopback for Prometheus (/metrics) and `ramson node status`, such as 127.0.0.1:22029."
        " Empty: nowhere.",
    ),
    Option(
        "log.level",
        "info",
        "How much to tell on standard error.",
        choices=("debug", "info", "warning", "error"),
    ),
    Option("log.format", "text", "text for people, json for log collectors.", choices=("text", "json")),
    Option(
        "relay.allow_private",
        False,
        "Let onion requests reach servers at loopback and private addresses. For test networks on one machine only:"
        " elsewhere it opens your own network to strangers.",
    ),
)
BY_KEY: Final[Mapping[str, Option]] = {option.key: option for option in OPTIONS}


@dataclass(frozen=True, slots=True)
class Settings:
    """The options' values; the names are those of the file with `_` for the dot."""

    data_dir: str
    network_oxend: str
    network_file: str
    network_name: str
    network_testnet: bool
    network_seeds: bool
    listen_address: str
    listen_https_port: int
    listen_omq_port: int
    listen_quic: bool
    limits_database_mib: int
    limits_connections: int
    limits_connections_per_address: int
    tests_peers: bool
    tests_storage: bool
    metrics_listen: str
    log_level: str
    log_format: str
    relay_allow_private: bool

    @property
    def metrics(self) -> Endpoint | None:
        """Where to show metrics.  Raises SettingsError."""
        return parse_endpoint(self.metrics_listen, "metrics.listen") if self.metrics_listen else None

    def node_config(self, listed: tuple[str, int, int] | None = None, *, testnet: bool = False) -> NodeConfig:
        """Return the node's configuration.

        `listed` is the address and ports that a network file gives it, `testnet` whether that is a test network.
        Raises LocalError.
        """
        address, https, omq = listed or ("0.0.0.0", *((38155, 38154) if self.network_testnet else (22021, 22020)))
        host = self.listen_address or address
        return NodeConfig(
            https=Endpoint(host, self.listen_https_port or https),
            omq=Endpoint(host, self.listen_omq_port or omq),
            data_dir=Path(self.data_dir),
            testnet=self.network_testnet or testnet,
            allow_private_relay=self.relay_allow_private,
            max_database_bytes=self.limits_database_mib * MIB,
            max_connections=self.limits_connections,
            max_connections_per_address=self.limits_connections_per_address,
            test_peers=self.tests_peers,
            test_storage=self.tests_storage,
            metrics=self.metrics,
            quic=self.listen_quic,
        )


def settle(written: Mapping[str, Value], said: Mapping[str, Value]) -> Settings:
    """Put together what was `written` in a file and `said` on the command line, which wins.

    Keys are those of the file, values have been checked.  Raises SettingsError.
    """
    chosen = {**{option.key: option.default for option in OPTIONS}, **written, **said}
    values: dict[str, Any] = {BY_KEY[key].attribute: value for key, value in chosen.items()}
    settings = Settings(**values)
    if settings.network_oxend and (settings.network_file or settings.network_name):
        raise SettingsError(
            "a node is either of a network file or beside an oxend",
            remedy="leave network.file and network.name out, or network.oxend",
        )
    if not settings.network_oxend and not settings.network_file:
        raise SettingsError(
            "nothing says who is in the network",
            remedy="set network.file and network.name, or network.oxend; or give --network and --name, or --oxend",
        )
    if settings.network_file and not settings.network_name:
        raise SettingsError(
            "network.name is missing", remedy="say which node of network.file this is, there or with --name"
        )
    settings.metrics  # noqa: B018 - raises when it is no endpoint
    return settings


def parse(text: str, *, file: str = "the configuration file") -> dict[str, Value]:
    """Read a configuration file; return the options it sets, by key.  Raises SettingsError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{file} is not TOML: {error}", remedy="texts need quotes, and a section is a line like [listen]"
        ) from None
    found: dict[str, Value] = {}
    for key, value in _flatten(document):
        try:
            found[key] = _option(key).check(value)
        except SettingsError as error:
            raise SettingsError(f"{file}{_line(text, key)}: {error}", remedy=error.remedy) from None
    return found


def parse_assignment(text: str) -> tuple[str, Value]:
    """Read KEY=VALUE as the command line has it; a text may do without its quotes.  Raises SettingsError."""
    key, _, value = (part.strip() for part in text.partition("="))
    option = _option(key)
    if isinstance(option.default, str):
        return key, option.check(value.removeprefix('"').removesuffix('"'))
    try:
        return key, option.check(tomllib.loads(f"x = {value}")["x"])
    except tomllib.TOMLDecodeError:
        return key, option.check(value)


def assignments(chosen: Settings) -> list[str]:
    """Write the settings that are not the defaults as KEY=VALUE, for `parse_assignment` to read."""
    values = {option: getattr(chosen, option.attribute) for option in OPTIONS}
    return [
        f'{option.key}="{value}"' if isinstance(value, str) else f"{option.key}={toml(value)}"
        for option, value in values.items()
        if value != option.default
    ]


def parse_endpoint(text: str, what: str) -> Endpoint:
    """Read HOST:PORT.  Raises SettingsError that names `what` it was to be."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 2**16:
        raise SettingsError(f"{what} cannot be {text!r}", remedy="write HOST:PORT, such as 127.0.0.1:22029")
    return Endpoint(host.strip("[]"), int(port))


def default_file() -> str:
    """Return a configuration file in which every option is explained and none is set."""
    lines = ["# Configuration of a ramson service node. Every option shows its default; take the # away to set it.", ""]
    section = ""
    for option in OPTIONS:
        if option.section != section:
            section = option.section
            lines += [f"[{section}]", ""]
        lines += [f"# {line}" for line in _wrap(option.explanation)]
        if option.choices:
            lines.append(f"# One of: {', '.join(option.choices)}.")
        lines += [f"#{option.name} = {toml(option.default)}", ""]
    return "\n".join(lines)


def table() -> str:
    """Return all options as a table for the documentation."""
    rows = ["| option | default | what it does |", "|---|---|---|"]
    for option in OPTIONS:
        choices = f" One of: {', '.join(option.choices)}." if option.choices else ""
        rows.append(f"| `{option.key}` | `{toml(option.default)}` | {option.explanation}{choices} |")
    return "\n".join(rows) + "\n"


def toml(value: object) -> str:
    """Write a value as TOML does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def _flatten(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in document.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and (not prefix) and key not in BY_KEY:
            if not value:
                continue
            yield from _flatten(value, f"{key}.")
        else:
            yield key, value


def _option(key: str) -> Option:
    if key not in BY_KEY:
        raise SettingsError(f"there is no option {key}", remedy=_suggestion(key))
    return BY_KEY[key]


def _suggestion(key: str) -> str:
    name = key.rpartition(".")[2]
    near = get_close_matches(key, BY_KEY, n=1) or [known for known in BY_KEY if BY_KEY[known].name == name]
    if near:
        section = BY_KEY[near[0]].section
        place = f", in the section [{section}]" if section else ", before all sections"
        return f"did you mean {BY_KEY[near[0]].name}{place}? `ramson node config` lists all"
    return "`ramson node config` lists all options"


def _line(text: str, key: str) -> str:
    """Say at which line an option stands, as far as can be told."""
    section, _, name = key.rpartition(".")
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([\w.]+)\s*\]", line):
            current = header[1]
        elif re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=", line) and current == section:
            return f", line {number}"
    return ""


def _wrap(text: str, width: int = 100) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = ""
        line = f"{line} {word}".strip()
    yield line
