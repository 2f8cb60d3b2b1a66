"""Putting a bridge together from its configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from ramson.errors import LocalError
from ramson.node.private_files import make_private_directory
from ramson.protocol import network_file
from ramson.protocol.bridge import MAX_TOTAL
from ramson.protocol.public_seeds import PUBLIC_SEEDS
from ramson.servers.bridge import keys
from ramson.servers.bridge.bridge import Bridge
from ramson.servers.bridge.config import BridgeConfig
from ramson.servers.bridge.guards import FixedGuards, Guards, SeedGuards
from ramson.servers.bridge.memory import IN_MEMORY, Nonces, Parcels
from ramson.world import World

NONCES_FILE: Final = "used.sqlite"
PARCELS_FILE: Final = "transfers.sqlite"
GUARDS_FILE: Final = "nodes.json"


def build(world: World, config: BridgeConfig, *, processes: bool) -> tuple[Bridge, Guards]:
    """Return the bridge that `config` describes, to be entered, and its guards.

    With `processes` transfers are kept in a file, as others may serve the next piece; else in memory.  Used tickets
    are always kept in a file, or they would be good again after a restart.  Raises LocalError, ParseError.
    """
    make_private_directory(config.directory)
    secrets = tuple(key.secret for key in keys.required(config.directory))
    guards = _guards(world, config)
    parcels = str(config.directory / PARCELS_FILE) if processes else IN_MEMORY
    bridge = Bridge(
        world,
        secrets,
        guards,
        Nonces(str(config.directory / NONCES_FILE), world.disk()),
        Parcels(parcels, world.disk(), world.clock, capacity=config.limits.max_kept),
        limits=config.limits,
        node_list=_reader(config.node_list),
        allow_private=config.allow_private,
    )
    return bridge, guards


def _guards(world: World, config: BridgeConfig) -> Guards:
    kept = config.directory / GUARDS_FILE
    if config.network in PUBLIC_SEEDS:
        return SeedGuards(world, PUBLIC_SEEDS[config.network], kept)
    try:
        network = network_file.parse(Path(config.network).read_bytes())
    except OSError as error:
        raise LocalError(
            f"there is no network {config.network!r}: {error.strerror}",
            remedy="Say mainnet, testnet, or a network.json file.",
        ) from None
    return SeedGuards(world, network.seeds, kept) if network.seeds else FixedGuards(network)


def _reader(path: Path | None) -> Callable[[], bytes | None]:
    """Return what reads the signed list anew each time: it is replaced while the bridge runs."""

    def read() -> bytes | None:
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                data = file.read(MAX_TOTAL + 1)
        except OSError:
            return None
        return data if len(data) <= MAX_TOTAL else None

    return read
