"""`ramson node` and `ramson seed`: running services of the network, and looking after them."""

from __future__ import annotations

from typing import Final

import typer

from ramson.cli.lazy import LazyGroup

NODE_COMMANDS: Final = {
    "run": ("operate_node", "run_node"),
    "config": ("operate_node", "config"),
    "check": ("operate_check", "check"),
    "status": ("operate_status", "status"),
    "keys": ("operate_keys", "keys_app"),
}
SEED_COMMANDS: Final = {"run": ("operate_seed", "run_seed")}


class _NodeCommands(LazyGroup):
    table = NODE_COMMANDS


class _SeedCommands(LazyGroup):
    table = SEED_COMMANDS


node_app = typer.Typer(
    name="node", cls=_NodeCommands, help="Run a service node and look after it.", no_args_is_help=True
)
seed_app = typer.Typer(
    name="seed",
    cls=_SeedCommands,
    help="Run a seed, which tells clients who is in the network.",
    no_args_is_help=True,
)
