"""Several accounts in one process: they talk to each other, share nothing, and no file is used twice."""

import importlib.util
from pathlib import Path

import pytest

from ramson.messenger import AccountInUse
from ramson.testing import on_fake_network

EXAMPLE = Path(__file__).parents[2] / "examples" / "three_accounts.py"


def example():
    spec = importlib.util.spec_from_file_location("three_accounts", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@on_fake_network
async def test_three_accounts_in_one_process_pass_a_word_around(net):
    async with (
        net.client(0, name="Alice") as alice,
        net.client(1, name="Bob") as bob,
        net.client(2, name="Carol") as carol,
    ):
        heard = await example().pass_around([alice, bob, carol], "the owl flies at noon")
        assert [line.split()[0] for line in heard] == ["Bob", "Carol", "Alice"]
        assert all("the owl flies at noon" in line for line in heard)


@on_fake_network
async def test_each_has_a_network_of_its_own_and_what_it_remembers_is_in_its_own_file(net):
    async with net.client(0) as alice, net.client(1) as bob:
        for client in (alice, bob):
            await client.send(client.account_id, "note")
        parts = [client._parts for client in (alice, bob)]
        assert parts[0].network is not parts[1].network
        assert parts[0].network._routing is not parts[1].network._routing
        saved = [part.engine.store.db.rows("SELECT value FROM meta WHERE key LIKE 'network %'") for part in parts]
        assert all(saved)
        assert saved[0] != saved[1]


@on_fake_network
async def test_a_file_that_is_open_already_says_so_and_a_visit_is_free(net):
    async with net.client(0, name="Alice") as alice:
        with pytest.raises(AccountInUse) as caught:
            async with net.client(0):
                pass
        assert "share=True" in caught.value.remedy
        assert alice.name == "Alice"
    async with net.client(0) as again:
        assert again.name == "Alice"
