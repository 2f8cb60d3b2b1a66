"""`ramson node` and `ramson seed`: running services of the network, and looking after them."""

from __future__ import annotations

import typer

from ramson.cli.operate_check import check
from ramson.cli.operate_keys import keys_app
from ramson.cli.operate_node import config, run_node
from ramson.cli.operate_seed import run_seed
from ramson.cli.operate_status import status

node_app = typer.Typer(name="node", help="Run a service node and look after it.", no_args_is_help=True)
seed_app = typer.Typer(name="seed", help="Run a seed, which tells clients who is in the network.", no_args_is_help=True)

node_app.command("run")(run_node)
node_app.command("config")(config)
node_app.command("check")(check)
node_app.command("status")(status)
node_app.add_typer(keys_app)
seed_app.command("run")(run_seed)
