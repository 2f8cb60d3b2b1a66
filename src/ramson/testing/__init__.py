"""A whole network in the test's own process and in virtual time: what a bot's tests need, and nothing else.

    from ramson.testing import FakeNetwork, on_fake_network

    @on_fake_network
    async def test_it_answers(net: FakeNetwork) -> None:
        async with net.running(bot) as address, net.person("Alice") as alice:
            await alice.say(address, "/ping")
            assert (await alice.hear()).body == "pong"

For programs that use `ramson.sync` there is `ramson.testing.sync`.
"""

from ramson.testing.network import FakeNetwork, NothingHeard, Person, on_fake_network, run

__all__ = ["FakeNetwork", "NothingHeard", "Person", "on_fake_network", "run"]
