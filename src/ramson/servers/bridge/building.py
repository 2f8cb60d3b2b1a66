"""Putting a bridge together from its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ramson import given_files
from ramson.node.private_files import make_private_directory
from ramson.protocol import node_list
from ramson.protocol.bridge import MAX_TOTAL
from ramson.protocol.node_list import BadList, SignedNodeList
from ramson.protocol.public_seeds import PUBLIC_SEEDS
from ramson.servers.bridge import keys
from ramson.servers.bridge.bridge import Bridge
from ramson.servers.bridge.config import BridgeConfig
from ramson.servers.bridge.guards import FixedGuards, Guards, Listed, SeedGuards
from ramson.servers.bridge.memory import Nonces, Parcels
from ramson.servers.sqlite_file import IN_MEMORY
from ramson.world import World

NONCES_FILE: Final = "used.sqlite"
PARCELS_FILE: Final = "transfers.sqlite"
GUARDS_FILE: Final = "nodes.json"


def build(world: World, config: BridgeConfig, *, processes: bool) -> Bridge:
    """Return the bridge that `config` describes, to be entered.

    With `processes` transfers are kept in a file, as others may serve the next piece; else in memory.  Used tickets
    are always kept in a file, or they would be good again after a restart.  Raises LocalError, ParseError.
    """
    make_private_directory(config.directory)
    secrets = tuple(key.secret for key in keys.required(config.directory))
    guards = _guards(world, config)
    parcels = str(config.directory / PARCELS_FILE) if processes else IN_MEMORY
    return Bridge(
        world,
        secrets,
        guards,
        Nonces(str(config.directory / NONCES_FILE), world.disk()),
        Parcels(parcels, world.disk(), world.clock, capacity=config.limits.max_kept),
        limits=config.limits,
        node_list=_Lists(config.node_list, guards, _list_name(config)),
        allow_private=config.allow_private,
    )


def _guards(world: World, config: BridgeConfig) -> Guards:
    kept = config.directory / GUARDS_FILE
    if config.network in PUBLIC_SEEDS:
        return SeedGuards(world, PUBLIC_SEEDS[config.network], kept)
    network = given_files.read_network(config.network)
    return SeedGuards(world, network.seeds, kept) if network.seeds else FixedGuards(network, world.clock.now())


def _list_name(config: BridgeConfig) -> str:
    """Return what node lists call the network; empty if they have no name for it."""
    if config.network in PUBLIC_SEEDS:
        return config.network
    lists = given_files.read_network(config.network).node_lists
    return lists.authority.network if lists else ""


class _Lists:
    """The list of nodes for clients: the signed one that the volunteer has in a file, or what the bridge runs with.

    The latter has no signatures, and clients hold it against what others say.  The file is read anew each time, for
    it is replaced while the bridge runs.
    """

    def __init__(self, path: Path | None, guards: Guards, name: str) -> None:
        self._path = path
        self._guards = guards
        self._name = name
        self._written_of: Listed | None = None
        self._written: bytes | None = None

    def __call__(self) -> bytes | None:
        if self._path is not None:
            return _read(self._path)
        listed = self._guards.listed
        if listed is not self._written_of:
            self._written_of, self._written = listed, self._write(listed)
        return self._written

    def _write(self, listed: Listed) -> bytes | None:
        nodes = [node for node in listed.nodes.values() if node_list.listable(node)]
        if not self._name or not nodes:
            return None
        try:
            made = node_list.state(self._name, nodes, height=listed.height, time_ms=listed.as_of_ms)
        except BadList:  # more nodes than a list can hold
            return None
        return node_list.encode(SignedNodeList(made, {}))


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TOTAL + 1)
    except OSError:
        return None
    return data if len(data) <= MAX_TOTAL else None
