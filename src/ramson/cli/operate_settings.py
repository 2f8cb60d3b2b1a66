"""Where the settings of a node command come from: the configuration file, then the command line, which wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ramson.errors import LocalError
from ramson.given_files import read_network
from ramson.node import settings
from ramson.node.config import NodeConfig
from ramson.node.settings import Settings, SettingsError, Value
from ramson.protocol.network_file import NetworkFile, NetworkNode


def load(config: Path | None, flags: Mapping[str, object], assignments: list[str] | None = None) -> Settings:
    """Put the settings together.  `flags` holds the command line's by key, None where it says nothing.

    Raises SettingsError.
    """
    written = {} if config is None else read_written(config)
    said = dict(settings.parse_assignment(text) for text in assignments or [])
    for key, value in flags.items():
        if value is not None:
            said[key] = settings.BY_KEY[key].check(str(value) if isinstance(value, Path) else value)
    if "network.oxend" in said and "network.file" not in said:
        written = {key: value for key, value in written.items() if key not in {"network.file", "network.name"}}
    elif "network.file" in said and "network.oxend" not in said:
        written = {key: value for key, value in written.items() if key != "network.oxend"}
    return settings.settle(written, said)


def read_written(path: Path) -> dict[str, Value]:
    """Return what a configuration file sets, by key.  Raises SettingsError."""
    try:
        return settings.parse(path.read_text(encoding="utf-8"), file=str(path))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}", remedy="name the file with --config") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not a UTF-8 text", remedy="`ramson node config` prints one") from None


@dataclass(frozen=True, slots=True)
class Place:
    """A node's place in the network of a file."""

    network: NetworkFile
    entry: NetworkNode


def find_place(chosen: Settings) -> Place | None:
    """Return the node's place in its network file; None beside an oxend.  Raises LocalError, ParseError."""
    if not chosen.network_file:
        return None
    network = read_network(chosen.network_file)
    for node in network.nodes:
        if node.name == chosen.network_name:
            return Place(network, node)
    names = ", ".join(node.name for node in network.nodes) or "no node at all"
    raise LocalError(f"the network lists no node called {chosen.network_name!r}", remedy=f"It lists: {names}.")


def node_config(chosen: Settings, place: Place | None) -> NodeConfig:
    """Return the configuration of the node at its place.  Raises LocalError."""
    if place is None:
        return chosen.node_config()
    record = place.entry.record
    return chosen.node_config((record.ip, record.https_port, record.omq_port), testnet=place.network.testnet)
