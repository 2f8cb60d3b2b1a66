"""What is known about swarms."""

from ramson.network.swarm_cache import REMEMBERED, SwarmCache


def account(number: int) -> bytes:
    return b"\x05" + number.to_bytes(32)


def test_a_swarm_is_enough_while_three_members_are_left(nodes):
    cache = SwarmCache()
    assert not cache.enough(account(1))
    cache.replace(account(1), nodes(5))
    for left in (4, 3):
        cache.drop_node(cache.members(account(1))[0].ed25519)
        assert len(cache.members(account(1))) == left
        assert cache.enough(account(1))
    cache.drop_node(cache.members(account(1))[0].ed25519)
    assert not cache.enough(account(1))


def test_a_smaller_swarm_is_enough_while_it_is_whole(nodes):
    cache = SwarmCache()
    cache.replace(account(1), nodes(2))
    assert cache.enough(account(1))
    cache.drop_member(account(1), nodes(1)[0].ed25519)
    assert not cache.enough(account(1))
    cache.replace(account(1), [])
    assert not cache.enough(account(1))


def test_a_node_that_is_gone_leaves_every_swarm_and_a_member_only_one(nodes):
    cache = SwarmCache()
    for number in (1, 2):
        cache.replace(account(number), nodes(5))
    cache.drop_member(account(1), nodes(1)[0].ed25519)
    assert (len(cache.members(account(1))), len(cache.members(account(2)))) == (4, 5)
    cache.keep_only([each.ed25519 for each in nodes(2)])
    assert (len(cache.members(account(1))), len(cache.members(account(2)))) == (1, 2)


def test_the_account_unused_for_longest_is_forgotten(nodes):
    cache = SwarmCache()
    for number in range(REMEMBERED + 1):
        cache.replace(account(number), nodes(3))
    assert cache.members(account(0)) == ()
    assert cache.members(account(1)) != ()
