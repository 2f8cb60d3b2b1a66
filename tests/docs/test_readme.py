"""What the README shows works: its Python runs as printed, and its commands exist."""

import asyncio
import re
import shlex
from pathlib import Path

import typer.main
from typer._click import Context

import ramson
from ramson.cli.app import app
from ramson.messenger import Client, KeyCost
from ramson.sim import SimulatedNetwork
from ramson.world.simulated import Simulation

README = (Path(__file__).parents[2] / "README.md").read_text()
PASSPHRASE = "for playing"
CHEAP = KeyCost(passes=1, memory=13)


def test_the_ten_lines_run(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    sim = Simulation(1)
    network = SimulatedNetwork(sim, tmp_path, nodes=8, swarms=2)

    def account(method, name, number, **options):
        world = network.client_world(number)
        return method(tmp_path / name, passphrase=PASSPHRASE, network=network.profile, world=world, **options)

    class Shown:
        """`Client` as a reader of the README has it, on this network."""

        @staticmethod
        def open(path, *, passphrase):
            assert passphrase == PASSPHRASE
            return account(Client.open, path, 0)

    async def story():
        await network.up()
        async with account(Client.create, "me.ramson", 0, cost=CHEAP):
            pass
        async with account(Client.create, "bob.ramson", 1, cost=CHEAP) as bob:
            programs = []
            monkeypatch.setattr(ramson, "Client", Shown, raising=False)
            monkeypatch.setattr(asyncio, "run", programs.append)
            exec(code.replace("05…", bob.account_id.hex), {})
            program = asyncio.get_running_loop().create_task(programs[0])
            try:
                async with asyncio.timeout(120):
                    heard = []
                    async for message in bob.messages():
                        heard.append(message.body)
                        if len(heard) == 1:
                            await message.reply("thanks")
                        else:
                            return heard
            finally:
                program.cancel()
                await asyncio.gather(program, return_exceptions=True)

    assert sim.run(story()) == ["hello", "you said: thanks"]
    assert re.search(r"^sent \d of \d$", capsys.readouterr().out, re.MULTILINE)


def shown_commands():
    """Every `ramson …` line of the README's indented blocks, as words."""
    for line in README.splitlines():
        if match := re.match(r"    (?:\.venv/bin/)?ramson (.*?)(?:\s+#.*)?$", line):
            yield shlex.split(re.sub(r"\$\(.*?\)", "05ID", match[1]))


def test_every_command_exists_with_the_options_shown():
    root = typer.main.get_command(app)
    commands = list(shown_commands())
    assert len(commands) > 6
    for words in commands:
        command, rest = root, list(words)
        while hasattr(command, "get_command"):
            found = command.get_command(Context(command), rest.pop(0))
            assert found is not None, words
            command = found
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known, words
