"""The path light."""

import asyncio

from ramson.network.entry import Notice
from ramson.network.paths import Path
from ramson.network.status import CONNECTED, Light, PathStatus, Place, StatusBoard, status_of


def path(node, first: int) -> Path:
    return Path(node(first), node(first + 1), node(first + 2))


def test_two_paths_are_green_one_is_orange_none_is_red(node):
    both = path(node, 0), path(node, 3)
    assert status_of(both, broken=0, trouble="").light is Light.GREEN
    assert status_of(both[:1], broken=0, trouble="").light is Light.ORANGE
    assert status_of((), broken=0, trouble="").light is Light.RED


def test_the_reason_says_what_is_wrong_and_what_can_be_done(node):
    assert "online" in status_of((), broken=2, trouble="").reason
    assert status_of((), broken=0, trouble="No seed answers.").reason == "No seed answers."
    assert status_of([path(node, 0)], broken=0, trouble="").reason


def test_the_way_out_is_spoken_of_where_it_matters(node):
    bridged = Notice("Messages travel by a bridge.")
    both = [path(node, 0), path(node, 3)]
    assert status_of(both, broken=0, trouble="", way=bridged).reason == f"{CONNECTED} {bridged.text}"
    assert status_of(both[:1], broken=0, trouble="Few answer", way=bridged).reason == f"Few answer. {bridged.text}"
    assert status_of((), broken=0, trouble="Few answer", way=bridged).reason == "Few answer"
    lost = Notice("Connections freeze here.", lost=True)
    assert status_of((), broken=0, trouble="Few answer", way=lost).reason == lost.text
    assert status_of((), broken=0, trouble="Few answer", way=Notice(lost=True)).reason == "Few answer"


def test_hops_are_shown_from_the_person_outwards(node):
    hops = status_of([path(node, 0)], broken=0, trouble="").hops
    assert [hop.place for hop in hops] == [Place.GUARD, Place.MIDDLE, Place.LAST]
    assert [hop.address for hop in hops] == [node(i).ip for i in range(3)]
    assert {hop.country for hop in hops} == {None}
    assert PathStatus(Light.RED, "none").hops == ()


async def test_a_watcher_sees_the_present_status_and_every_change(node):
    board = StatusBoard()
    seen = []

    async def watch():
        async for status in board.watch():
            seen.append(status.light)
            if status.light is Light.GREEN:
                return

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        await asyncio.sleep(0)
        board.show(status_of([path(node, 0)], broken=0, trouble=""))
        board.show(status_of([path(node, 0)], broken=0, trouble=""))
        await asyncio.sleep(0)
        board.show(status_of([path(node, 0), path(node, 3)], broken=0, trouble=""))
    assert seen == [Light.RED, Light.ORANGE, Light.GREEN]
