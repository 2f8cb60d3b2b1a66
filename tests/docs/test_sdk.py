"""The tutorial's Python runs as printed, its own test included."""

import inspect
import re
from pathlib import Path

import pytest

from ramson import Bot
from ramson.bot import command_line
from ramson.testing import on_fake_network

TESTS = ["test_weather", "test_the_courier", "test_answer_one", "test_double"]
SDK = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()


def the_program():
    names = {"__name__": "helper"}
    for block in re.findall(r"```python\n(.*?)```", SDK, re.DOTALL):
        exec(block, names)
    return names


@pytest.mark.parametrize("name", TESTS)
def test_the_tutorials_own_tests_pass(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    the_program()[name]()


def test_every_test_of_the_tutorial_is_run():
    assert {name for name in the_program() if name.startswith("test_")} == set(TESTS)


def test_a_word_about_every_subcommand():
    commands = re.findall(r'^    "(\w+)": "', inspect.getsource(command_line), re.MULTILINE)
    assert len(commands) == 5
    for command in set(commands) - {"serve"}:
        assert re.search(rf"`{command}`|helper\.py {command}\b", SDK)


def test_the_unit_starts_a_bot_as_its_command_line_wants_it(capsys):
    unit = (Path(__file__).parents[2] / "packaging" / "systemd" / "ramson-bot@.service").read_text()
    (started,) = re.findall(r"^ExecStart=\S+ \S+ (.*)$", unit, re.MULTILINE)
    with pytest.raises(SystemExit):
        Bot("none.ramson").run([*started.split(), "--help"])
    assert "usage:" in capsys.readouterr().out


async def test_several_accounts_work_in_one_process(monkeypatch):
    names, begun = the_program(), []

    async def serve(bot):
        begun.append(bot)

    monkeypatch.setattr(Bot, "serve", serve)
    await names["serve_both"]()
    assert begun == [names["helper"], names["courier"]]


@on_fake_network
async def test_the_router_of_the_tutorial_works(net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = the_program()
    async with net.running(names["helper"]) as address, net.person("Alice") as alice:
        await alice.say(address, "/note milk  and bread")
        assert (await alice.hear()).body == "noted: milk  and bread"
        await names["digest"](names["helper"])
        assert (await alice.hear()).body == "Good morning!"
