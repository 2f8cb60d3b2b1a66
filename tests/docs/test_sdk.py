"""The tutorial's Python runs as printed, its own test included."""

import re
from pathlib import Path

from ramson.testing import on_fake_network

SDK = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()


def the_program():
    names = {"__name__": "helper"}
    for block in re.findall(r"```python\n(.*?)```", SDK, re.DOTALL):
        exec(block, names)
    return names


def test_the_tutorials_own_test_passes():
    the_program()["test_weather"]()


@on_fake_network
async def test_the_router_of_the_tutorial_works(net):
    names = the_program()
    async with net.running(names["helper"]) as address, net.person("Alice") as alice:
        await alice.say(address, "/note milk  and bread")
        assert (await alice.hear()).body == "noted: milk  and bread"
        await names["digest"](names["helper"])
        assert (await alice.hear()).body == "Good morning!"
