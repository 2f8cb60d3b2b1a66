"""The process of a service node: `python -m ramson.cli.node_process KEY=VALUE … [--stop-with-input]`.

`ramson node run` checks its options and becomes this program, in the same process.  What reads a command line for
people stays behind with it: it takes a fifth of a node's memory, and a node needs none of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from ramson import streams
from ramson.cli.operate_settings import find_place, node_config
from ramson.cli.report import report
from ramson.cli.service import LogFormat, LogLevel, serve
from ramson.errors import LocalError
from ramson.node import certificate, settings
from ramson.node.beside_oxend import node_beside_oxend
from ramson.node.keys import NodeKeys
from ramson.node.node import Node
from ramson.node.settings import Settings
from ramson.registry import FileRegistry
from ramson.world import DaemonAddress, real

STOP_WITH_INPUT: Final = "--stop-with-input"


def command(chosen: Settings, *, stop_with_input: bool) -> list[str]:
    """Return the command line of the process of a node with these settings."""
    stop = [STOP_WITH_INPUT] if stop_with_input else []
    # -P: no module of the directory that somebody happens to be in
    return [sys.executable, "-P", "-m", "ramson.cli.node_process", *settings.assignments(chosen), *stop]


def prepare(chosen: Settings) -> Callable[[], AbstractAsyncContextManager[object]]:
    """Look whether the settings will do, see to keys and certificate, and return how the node is made.

    Raises LocalError, ParseError.
    """
    place = find_place(chosen)
    configured = node_config(chosen, place)
    directory = Path(chosen.data_dir)
    world = real.world()
    if place is None:
        address = DaemonAddress.parse(chosen.network_oxend)
        chain = certificate.load_or_create(directory, world.clock.now())
        asked = None if chosen.network_seeds else ()
        return lambda: node_beside_oxend(world, address, chain, configured, seeds=asked)
    keys = NodeKeys.load_or_create(directory, world.entropy)
    if keys.ed25519.public != place.entry.record.ed25519:
        raise LocalError(
            f"the keys in {directory} are not those of {chosen.network_name} in {chosen.network_file}",
            remedy="Give the directory that belongs to this node, or list its public keys in the network file.",
        )
    chain = certificate.load_or_create(directory, world.clock.now())
    registry = FileRegistry(place.network)
    return lambda: Node(world, keys, chain, configured, registry)


def main(arguments: Sequence[str]) -> None:
    """Run a node until it is told to stop; exit with 1 when it cannot be run."""
    said = [text for text in arguments if text != STOP_WITH_INPUT]
    with streams.ending(report):
        chosen = settings.settle({}, dict(map(settings.parse_assignment, said)))
        serve(
            prepare(chosen),
            level=LogLevel(chosen.log_level),
            log_format=LogFormat(chosen.log_format),
            stop_with_input=len(said) < len(arguments),
        )


if __name__ == "__main__":
    main(sys.argv[1:])
