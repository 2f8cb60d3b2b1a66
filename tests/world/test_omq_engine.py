"""OxenMQ's conversation, over a transport made of lists."""

import asyncio
import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from until import until

from ramson.world import Command, Endpoint, Origin, PeerAddress, PeerRefused, PeerTimeout
from ramson.world.omq_engine import OmqEngine

ANN, BEN, EVE = (bytes([n]) * 32 for n in (1, 2, 3))
TO_BEN = PeerAddress(Endpoint("10.0.0.2", 1), BEN)


class Wire:
    """A transport that keeps what is sent; a route is the far end's key."""

    endpoint = None

    def __init__(self):
        self.sent, self.gone, self.closed, self.stopped = [], set(), [], False

    def start(self, receiver):
        self.receiver = receiver

    def connect(self, peer):
        return peer.x25519

    def send(self, route, frames):
        if route in self.gone:
            return False
        self.sent.append((route, list(frames)))
        return True

    def close(self, route):
        self.closed.append(route)
        self.receiver.route_closed(route)

    async def stop(self):
        self.stopped = True

    def deliver(self, *frames, key=BEN, route=None):
        self.receiver.frames_received(Origin(key, route or key), list(frames))

    def taken(self):
        sent, self.sent = self.sent, []
        return sent


@pytest.fixture
def wire():
    return Wire()


def engine(wire, **commands):
    named = {name.replace("_", "."): command for name, command in commands.items()}
    return OmqEngine(wire, named, random.Random(1))


async def asking(link, wire, *parts, seconds=60):
    """A request under way: its future and its tag."""
    task = link.request(TO_BEN, "sn.ping", parts, timeout=seconds)
    [(route, frames)] = wire.taken()
    assert route == BEN
    assert frames[0] == b"sn.ping"
    assert frames[2:] == list(parts)
    return task, frames[1]


# ---- asking


async def test_a_request_gets_its_reply(wire):
    link = engine(wire)
    task, tag = await asking(link, wire, b"a", b"b")
    assert len(tag) == 15
    assert link.is_waiting(BEN)
    wire.deliver(b"REPLY", tag, b"x", b"y")
    assert await task == [b"x", b"y"]
    await asyncio.sleep(0)
    assert not link.is_waiting(BEN)
    wire.deliver(b"REPLY", tag, b"again")  # too late, and harmless


async def test_tags_differ_and_replies_may_change_order(wire):
    link = engine(wire)
    tasks = [await asking(link, wire, b"%d" % i) for i in range(20)]
    for i, (_, tag) in reversed(list(enumerate(tasks))):
        wire.deliver(b"REPLY", tag, b"r%d" % i)
    assert [(await task)[0] for task, _ in tasks] == [b"r%d" % i for i in range(20)]


async def test_a_reply_may_come_by_another_connection_of_the_same_key_only(wire):
    link = engine(wire)
    task, tag = await asking(link, wire)
    wire.deliver(b"REPLY", tag, b"forged", key=EVE)
    wire.deliver(b"REPLY", b"other tag", b"wrong")
    wire.deliver(b"REPLY", tag, b"real", route=("incoming", b"L" + BEN))
    assert await task == [b"real"]


def only(key):
    return Command(
        lambda _origin, _parts: [b"pong"], refuse=lambda origin: None if origin.key == key else b"FORBIDDEN_SN"
    )


async def test_a_peer_without_a_port_is_asked_along_its_own_connection(wire):
    link = engine(wire, sn_ping=only(BEN), storage_info=Command(lambda _origin, _parts: []))
    nowhere = PeerAddress(Endpoint("0.0.0.0", 0), BEN)
    wire.gone.add(None)
    with pytest.raises(PeerTimeout):
        await link.request(nowhere, "sn.ping", [], timeout=1)
    wire.deliver(b"storage.info", b"t", route="a stranger's way")  # anybody can give it, so it proves nothing
    wire.deliver(b"sn.ping", b"t", key=EVE, route="refused")
    wire.deliver(b"sn.ping", b"t", route="from Ben")
    wire.taken()
    task = link.request(nowhere, "sn.ping", [b"x"], timeout=1)
    [(route, frames)] = wire.taken()
    assert route == "from Ben"
    wire.deliver(b"REPLY", frames[1], b"y", route="from Ben")
    assert await task == [b"y"]


async def test_no_reply_in_time(wire):
    link = engine(wire)
    task, _ = await asking(link, wire, seconds=0.02)
    with pytest.raises(PeerTimeout):
        await task
    assert not link.is_waiting(BEN)


@pytest.mark.parametrize("code", [b"FORBIDDEN", b"FORBIDDEN_SN", b"NOT_A_SERVICE_NODE"])
async def test_a_refusal_with_a_tag(wire, code):
    link = engine(wire)
    task, tag = await asking(link, wire)
    other, _ = await asking(link, wire, seconds=0.1)
    wire.deliver(code, b"REPLY", tag, key=EVE)
    await asyncio.sleep(0)
    assert not task.done()
    wire.deliver(code, b"REPLY", tag)
    with pytest.raises(PeerRefused) as caught:
        await task
    assert caught.value.code == code
    with pytest.raises(PeerTimeout):
        await other


async def test_an_unknown_command_fails_all_requests_of_that_name_at_that_peer(wire):
    link = engine(wire)
    tasks = [(await asking(link, wire))[0] for _ in range(3)]
    wire.deliver(b"UNKNOWNCOMMAND", b"sn.data")
    wire.deliver(b"UNKNOWNCOMMAND", b"sn.ping", key=EVE)
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    wire.deliver(b"UNKNOWNCOMMAND", b"sn.ping")
    for task in tasks:
        with pytest.raises(PeerRefused, match="UNKNOWNCOMMAND"):
            await task


async def test_a_connection_that_takes_nothing_or_ends(wire):
    link = engine(wire)
    task, _ = await asking(link, wire)
    wire.deliver(b"BYE")
    assert wire.closed == [BEN]
    with pytest.raises(PeerTimeout):
        await task
    wire.gone.add(BEN)
    with pytest.raises(PeerTimeout):
        await link.request(TO_BEN, "sn.ping", [], timeout=1)


async def test_a_cancelled_request_is_forgotten(wire):
    link = engine(wire)
    task, tag = await asking(link, wire)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert not link.is_waiting(BEN)
    wire.deliver(b"REPLY", tag, b"late")


# ---- being asked


async def test_a_request_is_answered_with_its_tag(wire):
    seen = []

    def handle(origin, parts):
        seen.append((origin.key, parts))
        return [b"pong"]

    engine(wire, sn_ping=Command(handle))
    wire.deliver(b"sn.ping", b"tag", b"1", b"2", key=ANN)
    assert seen == [(ANN, [b"1", b"2"])]
    assert wire.taken() == [(ANN, [b"REPLY", b"tag", b"pong"])]


async def test_handlers_may_answer_later_or_not_at_all(wire):
    async def later(_origin, parts):
        await asyncio.sleep(0.01)
        return parts

    engine(wire, sn_data=Command(later), sn_mute=Command(lambda _o, _p: None), sn_empty=Command(lambda _o, _p: []))
    wire.deliver(b"sn.data", b"t1", b"x")
    wire.deliver(b"sn.mute", b"t2")
    wire.deliver(b"sn.empty", b"t3")
    assert wire.taken() == [(BEN, [b"REPLY", b"t3"])]
    await until(lambda: wire.sent)
    assert wire.taken() == [(BEN, [b"REPLY", b"t1", b"x"])]


async def test_a_command_without_reply(wire):
    seen = []
    engine(wire, notify_block=Command(lambda _o, parts: seen.append(parts), expects_reply=False))
    wire.deliver(b"notify.block", b"123", b"hash")
    assert seen == [[b"123", b"hash"]]
    assert wire.taken() == []


async def test_refusals(wire):
    calls = []
    refuse = lambda origin: None if origin.key == ANN else b"FORBIDDEN_SN"  # noqa: E731
    engine(wire, sn_ping=Command(lambda *a: calls.append(a) or [b"pong"], refuse=refuse))
    wire.deliver(b"sn.ping", b"tag")
    wire.deliver(b"sn.ping")
    wire.deliver(b"sn.ping", key=ANN)
    wire.deliver(b"foo.bar", b"tag", b"{}")
    wire.deliver(b"foo.bar", b"d" * 1000)
    assert wire.taken() == [
        (BEN, [b"FORBIDDEN_SN", b"REPLY", b"tag"]),
        (BEN, [b"FORBIDDEN_SN", b"sn.ping"]),
        (ANN, [b"NO_REPLY_TAG", b"sn.ping"]),
        (BEN, [b"UNKNOWNCOMMAND", b"foo.bar"]),
        (BEN, [b"UNKNOWNCOMMAND", b"foo.bar"]),
    ]
    assert calls == []


async def test_permission_is_asked_for_every_message(wire):
    active = {ANN}
    refuse = lambda origin: None if origin.key in active else b"FORBIDDEN_SN"  # noqa: E731
    engine(wire, sn_ping=Command(lambda _o, _p: [b"pong"], refuse=refuse))
    wire.deliver(b"sn.ping", b"1", key=ANN)
    active.clear()
    wire.deliver(b"sn.ping", b"2", key=ANN)
    assert [frames[0] for _, frames in wire.taken()] == [b"REPLY", b"FORBIDDEN_SN"]


async def test_hello(wire):
    engine(wire)
    wire.deliver(b"HI")
    wire.deliver(b"HELLO")
    assert wire.taken() == [(BEN, [b"HELLO"])]


async def test_a_failing_handler_answers_nothing_and_logs_no_data(wire, caplog):
    def at_once(_origin, _parts):
        raise ValueError("secret")

    async def later(_origin, _parts):
        raise KeyError("secret")

    def judge(_origin):
        raise TypeError("secret")

    engine(wire, sn_a=Command(at_once), sn_b=Command(later), sn_c=Command(at_once, refuse=judge))
    with caplog.at_level(logging.DEBUG):
        for name in (b"sn.a", b"sn.b", b"sn.c"):
            wire.deliver(name, b"tag")
        await until(lambda: caplog.text.count(" failed: ") == 3)
    assert wire.taken() == []
    assert "secret" not in caplog.text


async def test_a_category_has_so_many_places(wire, monkeypatch):
    monkeypatch.setattr("ramson.world.omq_engine.PLACES", {"sn": 2})
    gate = asyncio.Event()

    async def wait(_origin, _parts):
        await gate.wait()
        return []

    engine(wire, sn_data=Command(wait), monitor_x=Command(wait))
    for i in range(4):
        wire.deliver(b"sn.data", b"%d" % i)
    wire.deliver(b"monitor.x", b"m")
    await asyncio.sleep(0)
    gate.set()
    await until(lambda: len(wire.sent) >= 3)
    assert [frames[1] for _, frames in wire.taken()] == [b"0", b"1", b"m"]
    wire.deliver(b"sn.data", b"5")  # there is room again
    await until(lambda: wire.sent)
    assert [frames[1] for _, frames in wire.taken()] == [b"5"]


async def test_all_handlers_together_hold_so_many_bytes(wire, monkeypatch):
    monkeypatch.setattr("ramson.world.omq_engine.MAX_HELD", 1000)
    gate = asyncio.Event()

    async def wait(_origin, _parts):
        await gate.wait()
        return []

    engine(wire, sn_data=Command(wait))
    for tag in (b"1", b"2"):
        wire.deliver(b"sn.data", tag, bytes(600))
    gate.set()
    await until(lambda: wire.sent)
    wire.deliver(b"sn.data", b"3", bytes(600))
    await until(lambda: len(wire.sent) >= 2)
    assert [frames[1] for _, frames in wire.taken()] == [b"1", b"3"]


async def test_push(wire):
    link = engine(wire)
    assert link.push(Origin(ANN, ANN), "notify.message", [b"x"])
    assert wire.taken() == [(ANN, [b"notify.message", b"x"])]
    wire.gone.add(ANN)
    assert not link.push(Origin(ANN, ANN), "notify.message", [b"x"])


async def test_closing(wire):
    cancelled = asyncio.Event()

    async def wait(_origin, _parts):
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    link = engine(wire, sn_data=Command(wait))
    task, _ = await asking(link, wire, seconds=60)
    wire.deliver(b"sn.data", b"t")
    await asyncio.sleep(0)
    await link.close()
    assert wire.stopped
    assert cancelled.is_set()
    with pytest.raises(PeerTimeout):
        await task
    with pytest.raises(PeerTimeout):
        await link.request(TO_BEN, "sn.ping", [], timeout=1)
    assert not link.push(Origin(ANN, ANN), "notify.message", [])
    assert wire.taken() == []


WORDS = [b"HI", b"HELLO", b"BYE", b"REPLY", b"FORBIDDEN", b"UNKNOWNCOMMAND", b"NO_REPLY_TAG", b"sn.ping", b"", b"."]


@given(st.lists(st.lists(st.sampled_from(WORDS) | st.binary(max_size=300), max_size=70), max_size=10))
def test_no_frames_disturb_the_engine(messages):
    async def run():
        wire = Wire()
        link = engine(wire, sn_ping=Command(lambda _o, _p: [b"pong"]))
        for frames in messages:
            wire.deliver(*frames, key=EVE)
        wire.taken()
        wire.deliver(b"sn.ping", b"t", key=ANN)
        assert wire.taken() == [(ANN, [b"REPLY", b"t", b"pong"])]
        await link.close()

    asyncio.run(run())
