"""The examples do what they say."""

import importlib.util
import sys
from pathlib import Path

import pytest

from ramson.testing import NothingHeard, on_fake_network

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def ask(person, address, *texts):
    answers = []
    for text in texts:
        await person.say(address, text)
        answers.append((await person.hear()).body)
    return answers


@on_fake_network
async def test_echo(net):
    async with net.running(load("echo").bot) as address, net.person("Alice") as alice:
        assert await ask(alice, address, "hello", "/start") == [
            "hello",
            "Write something, and I will say it too.",
        ]


@on_fake_network
async def test_reminder(net, tmp_path):
    reminder = load("reminder")
    clock = net.simulation
    reminder.now = lambda: clock.now
    reminder.notes_file = tmp_path / "reminders.json"
    async with net.person("Alice") as alice:
        async with net.running(reminder.bot) as address:
            said = await ask(alice, address, "hm", "/in 10 call the  dentist", "/in ten x", "/in 0 x", "/in 1e9 x")
            began = clock.now
        assert said == [
            "Write /in MINUTES TEXT, as in: /in 10 call the dentist",
            "I will.",
            "“minutes” has to be a number.\nUsage: /in <minutes> <text…>",
            "That is not within a year.",
            "That is not within a year.",
        ]
        async with net.running(reminder.bot):  # what was promised survives a restart
            assert (await alice.hear(within=700)).body == "You wanted to be told: call the  dentist"
            assert 550 < clock.now - began < 650
            with pytest.raises(NothingHeard):
                await alice.hear()


@on_fake_network
async def test_counter(net):
    async with net.running(load("counter").bot) as address, net.person("A") as alice, net.person("B") as bob:
        assert await ask(alice, address, "/top", "the cat the dog", "the end", "/top 1", "/total") == [
            "You have said nothing yet.",
            "4 words",
            "2 words",
            "3 × the",
            "6 words",
        ]
        assert await ask(bob, address, "/total") == ["0 words"]


def test_every_example_is_tested():
    tested = {name.removeprefix("test_") for name in vars(sys.modules[__name__])}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tested
