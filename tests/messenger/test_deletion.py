"""Deleting everywhere: nobody counts who did not sign, and nobody who signs is waited for longer than need be."""

import asyncio
import random

import pytest

from ramson.crypto.account import AccountKeys
from ramson.errors import RemoteError
from ramson.messenger.deletion import Deletion, delete_swarm
from ramson.network import DeleteReceipt
from ramson.protocol.nodes import NodeRecord
from ramson.world.simulated import Simulation

KEYS = AccountKeys.generate(random.Random(1))
NODES = tuple(NodeRecord(bytes([n]) * 32, bytes(32), bytes(32), f"10.0.{n}.1", 1, 2, swarm_id=7) for n in range(1, 7))


class Swarm:
    """A network whose members answer as they are told: (seconds, those who signed, those who did not) or an error."""

    def __init__(self, answer, known=NODES):
        self.answer = answer
        self.known = known
        self.asked = []

    async def swarm(self, _account):
        return self.known

    async def delete_all(self, _keys, *, only):
        self.asked.append(only)
        seconds, signed, failed = self.answer(only, len(self.asked))
        await asyncio.sleep(seconds)
        if not signed:
            raise RemoteError("silence")
        return DeleteReceipt(frozenset(), tuple(signed), tuple(failed))


def run(swarm):
    told: list[Deletion] = []

    async def main():
        loop = asyncio.get_running_loop()
        start = loop.time()
        deletion = await delete_swarm(swarm, KEYS, told.append)
        return deletion, loop.time() - start

    deletion, seconds = Simulation(1).run(main())
    return deletion, seconds, told


def test_the_first_answer_that_leaves_nobody_out_is_enough():
    deletion, seconds, told = run(Swarm(lambda _member, count: (count, NODES, ())))
    assert (deletion, seconds) == (Deletion(NODES, ()), 1)
    assert told[0] == Deletion((), NODES)


def test_one_that_two_others_do_not_hear_from_is_named_after_one_wait():
    dead = NODES[0]

    def answer(member, _count):
        return (40, (), ()) if member == dead else (15, NODES[1:], (dead,))

    deletion, seconds, told = run(Swarm(answer))
    assert (deletion.failed, set(deletion.confirmed)) == ((dead,), set(NODES[1:]))
    assert seconds == 15
    assert told[-1] == deletion


def test_what_one_answer_lacks_another_may_have():
    def answer(_member, count):
        return (1, NODES[:3], NODES[3:]) if count == 1 else (2, NODES[3:], NODES[:3])

    deletion, _, _ = run(Swarm(answer))
    assert deletion.complete
    assert set(deletion.confirmed) == set(NODES)


def test_a_member_that_an_answer_leaves_out_is_not_taken_for_deleted():
    deletion, _, _ = run(Swarm(lambda _member, _count: (1, NODES[1:], ())))
    assert deletion.failed == NODES[:1]


def test_a_member_that_is_asked_nothing_any_more_is_not_taken_for_deleted_either():
    deletion, _, _ = run(Swarm(lambda _member, _count: (1, NODES[1:], NODES[:1]), known=NODES[1:]))
    assert deletion.failed == NODES[:1]


def test_silence_is_asked_again_and_told_when_nothing_else_comes():
    swarm = Swarm(lambda _member, count: (1, () if count < 9 else NODES, ()))
    assert run(swarm)[0].complete
    with pytest.raises(RemoteError, match="silence"):
        run(Swarm(lambda _member, _count: (1, (), ())))
