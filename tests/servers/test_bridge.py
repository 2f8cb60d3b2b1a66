"""What a bridge does for those who have its link, and what it remembers."""

import asyncio
import json
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import LocalError
from ramson.node.private_files import NotPrivate
from ramson.protocol import bridge as protocol
from ramson.protocol import node_list
from ramson.protocol.bridge import (
    LARGE,
    MAX_TOTAL,
    SLOT_MS,
    SMALL,
    Content,
    Forward,
    Kept,
    ListQuery,
    Piece,
    Refusal,
    Refused,
    Rest,
    Ticket,
)
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.servers.bridge import config, keys
from ramson.servers.bridge.bridge import Bridge
from ramson.servers.bridge.building import build
from ramson.servers.bridge.config import BadBridgeConfig, Limits
from ramson.servers.bridge.counters import Counters, Outcome, write
from ramson.servers.bridge.guards import FixedGuards, SeedGuards
from ramson.servers.bridge.handler import BridgeHandler, caller
from ramson.servers.bridge.memory import Nonces, Parcels
from ramson.servers.sqlite_file import IN_MEMORY
from ramson.world import AddressRefused, HttpRequest, HttpResponse, NetError, Stage, real

NOW = 1_760_000_000_000
SECRETS = (bytes(32), bytes(range(32)))
GUARD = NodeRecord(bytes([7]) * 32, bytes([8]) * 32, b"", "192.0.2.7", 22021, 22020, 0)
PHANTOM = NodeRecord(bytes([9]) * 32, bytes([8]) * 32, b"", "192.0.2.8", 22021, 22020, 0)
NETWORK = NetworkFile((NetworkNode("a", NodeState.ACTIVE, GUARD), NetworkNode("b", NodeState.PHANTOM, PHANTOM)))
NAME = bytes(range(16))


class SetClock:
    def __init__(self):
        self.ms = NOW

    def now(self):
        return self.ms

    def monotonic(self):
        return self.ms / 1000


class FakeNet:
    """Answers for all guards at once."""

    def __init__(self):
        self.requests = []
        self.reply = HttpResponse(200, {}, b"sealed reply")

    async def request(self, endpoint, request, *, allow=None, **_options):
        if allow is not None and not allow(endpoint.host):
            raise AddressRefused
        self.requests.append((endpoint, request))
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


class Town:
    """A bridge and somebody who has its second link."""

    def __init__(
        self, path=IN_MEMORY, *, parcels=IN_MEMORY, limits=None, allow_private=True, signed=None, secrets=SECRETS
    ):
        self.clock, self.net, entropy = SetClock(), FakeNet(), random.Random(1)
        self.world = SimpleNamespace(clock=self.clock, entropy=entropy, net=self.net, disk=real.ThreadDisk)
        self.limits = limits or Limits()
        self.bridge = Bridge(
            self.world,
            secrets,
            FixedGuards(NETWORK),
            Nonces(str(path), real.ThreadDisk()),
            Parcels(str(parcels), real.ThreadDisk(), self.clock, capacity=self.limits.max_kept),
            limits=self.limits,
            node_list=lambda: signed,
            allow_private=allow_private,
        )

    async def __aenter__(self):
        await self.bridge.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self.bridge.__aexit__(*error)

    def ticket(self, secret=SECRETS[1]):
        return Ticket.make(secret, now_ms=self.clock.ms, nonce=self.world.entropy.randbytes(16))

    async def ask(self, request, *, peer="198.51.100.1", secret=SECRETS[1]):
        ticket = self.ticket(secret)
        body = ticket.seal_request(protocol.encode_request(request))
        admission = await self.bridge.admit("POST", f"/notes/{ticket}", len(body))
        return protocol.decode_reply(ticket.open_reply(await self.bridge.answer(admission, body, peer)))


def forward(onion=b"onion", *, guard=GUARD.ed25519, room=SMALL, before=0):
    return Forward(room, NAME, guard, before, onion)


# Whom it serves.


async def test_an_onion_request_goes_to_the_guard_and_the_reply_comes_back():
    async with Town() as town:
        assert await town.ask(forward()) == Content(200, 12, b"sealed reply")
        (endpoint, request), *_ = town.net.requests
        assert str(endpoint) == "192.0.2.7:22021"
        assert (request.method, request.target, request.body) == ("POST", "/onion_req/v2", b"onion")
        assert not request.headers  # nothing of the client's


@pytest.mark.parametrize("guard", [bytes(32), PHANTOM.ed25519])
async def test_nothing_but_an_active_node_of_the_list_is_connected_to(guard):
    async with Town() as town:
        assert await town.ask(forward(guard=guard)) == Refused(Refusal.UNKNOWN_GUARD)
        assert not town.net.requests


async def test_a_node_at_a_private_address_is_none_unless_that_is_allowed():
    async with Town(allow_private=False) as town:  # 192.0.2.0/24 is not public
        assert await town.ask(forward()) == Refused(Refusal.UNKNOWN_GUARD)
        assert not town.net.requests


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        (Stage.CONNECT, Refusal.GUARD_UNREACHABLE),
        (Stage.TIMEOUT, Refusal.GUARD_SILENT),
        (Stage.TLS, Refusal.GUARD_BROKEN),
        (Stage.REPLY, Refusal.GUARD_BROKEN),
    ],
)
async def test_what_became_of_the_guard_is_said(stage, reason):
    async with Town() as town:
        town.net.reply = NetError(stage, "")
        assert await town.ask(forward()) == Refused(reason)


async def test_an_error_of_the_guard_is_passed_on():
    async with Town() as town:
        town.net.reply = HttpResponse(502, {}, b"Next node not found")
        assert await town.ask(forward()) == Content(502, 19, b"Next node not found")


async def test_the_signed_list_is_given_when_there_is_one():
    async with Town(signed=b"signed list") as town, Town() as other:
        assert await town.ask(ListQuery(SMALL, NAME)) == Content(200, 11, b"signed list")
        assert await other.ask(ListQuery(SMALL, NAME)) == Refused(Refusal.NO_LIST)


# In pieces.


async def test_a_large_request_comes_in_pieces_and_a_large_reply_leaves_in_parts():
    onion, answer = random.Random(2).randbytes(40_000), random.Random(3).randbytes(30_000)
    size, space = protocol.piece_space(SMALL), protocol.content_space(SMALL)
    async with Town() as town:
        town.net.reply = HttpResponse(200, {}, answer)
        at = 0
        while len(onion) - at > protocol.forward_space(SMALL):
            assert await town.ask(Piece(SMALL, NAME, at, onion[at : at + size])) == Kept()
            assert await town.ask(Piece(SMALL, NAME, at, onion[at : at + size])) == Kept()  # the answer was lost
            at += len(onion[at : at + size])
        reply = await town.ask(forward(onion[at:], before=at))
        assert town.net.requests[0][1].body == onion
        assert (reply.status, reply.total, len(reply.data)) == (200, 30_000, space)
        got = reply.data
        while len(got) < reply.total:
            got += (await town.ask(Rest(SMALL, NAME, len(got)))).data
        assert got == answer
        assert await town.ask(Rest(SMALL, NAME, len(got))) == Refused(Refusal.LOST)


async def test_processes_of_one_site_share_what_comes_and_leaves_in_pieces(tmp_path):
    files = {"path": tmp_path / "used", "parcels": tmp_path / "parcels"}
    async with Town(**files) as one, Town(**files) as other:
        other.world.entropy.seed(2)  # as processes draw different numbers
        other.net.reply = HttpResponse(200, {}, bytes(10_000))
        assert await one.ask(Piece(SMALL, NAME, 0, b"first, ")) == Kept()
        first = await other.ask(forward(b"second", before=7))
        assert other.net.requests[0][1].body == b"first, second"
        rest = await one.ask(Rest(SMALL, NAME, len(first.data)))
        assert len(first.data) + len(rest.data) == first.total == rest.total == 10_000


async def test_pieces_that_are_not_there_are_lost():
    async with Town() as town:
        assert await town.ask(Piece(SMALL, NAME, 5, b"behind nothing")) == Refused(Refusal.LOST)
        assert await town.ask(Piece(SMALL, NAME, 0, b"one")) == Kept()
        assert await town.ask(forward(before=4)) == Refused(Refusal.LOST)
        assert await town.ask(forward(before=3)) == Refused(Refusal.LOST)  # a try takes them
        assert await town.ask(Rest(SMALL, NAME, 0)) == Refused(Refusal.LOST)
        assert not town.net.requests


async def test_pieces_are_forgotten_after_two_minutes():
    async with Town() as town:
        town.net.reply = HttpResponse(200, {}, bytes(SMALL))
        await town.ask(forward())
        assert await town.ask(Piece(SMALL, bytes(16), 0, b"one")) == Kept()
        town.clock.ms += 121_000
        assert await town.ask(Rest(SMALL, NAME, 10)) == Refused(Refusal.LOST)
        assert await town.ask(Piece(SMALL, bytes([1]) * 16, 0, b"one")) == Kept()
        assert await town.ask(forward(before=3)) == Refused(Refusal.LOST)


async def test_what_is_kept_is_bounded():
    async with Town(limits=Limits(max_kept=2 * MAX_TOTAL)) as town:
        piece = bytes(protocol.piece_space(LARGE))
        answers = [await town.ask(Piece(SMALL, bytes([i]) * 16, 0, piece)) for i in range(66)]
        assert answers[:64] == [Kept()] * 64
        assert answers[65] == Refused(Refusal.LOST)
        town.net.reply = HttpResponse(200, {}, piece)
        assert await town.ask(forward()) == Refused(Refusal.BUSY)
        assert await town.ask(Piece(SMALL, NAME, MAX_TOTAL - 1, b"12")) == Refused(Refusal.TOO_LARGE)


# Whom it does not know.


async def test_a_ticket_is_taken_once_also_after_a_restart(tmp_path):
    body = 1024
    async with Town(tmp_path / "used") as town:
        ticket = town.ticket()
        assert await town.bridge.admit("POST", f"/{ticket}", body)
        assert await town.bridge.admit("POST", f"/{ticket}", body) is None
        assert town.bridge.counters.outcomes[Outcome.USED_AGAIN] == 1
        kept = town.world.entropy
    async with Town(tmp_path / "used") as town:
        town.world.entropy.setstate(kept.getstate())
        assert await town.bridge.admit("POST", f"/{ticket}", body) is None
        assert await town.bridge.admit("POST", f"/{town.ticket()}", body)


async def test_processes_of_one_site_share_what_was_used(tmp_path):
    async with Town(tmp_path / "used") as one, Town(tmp_path / "used") as other:
        ticket = one.ticket()
        admitted = await asyncio.gather(*(town.bridge.admit("POST", f"/{ticket}", 1024) for town in (one, other) * 5))
        assert sum(admission is not None for admission in admitted) == 1


async def test_used_tickets_are_remembered_for_as_long_as_they_are_good():
    async with Town() as town:
        town.clock.ms += SLOT_MS  # a client whose clock is ahead
        ticket = town.ticket()
        town.clock.ms -= SLOT_MS
        assert await town.bridge.admit("POST", f"/{ticket}", 1024)
        for _ in range(4):
            assert await town.bridge.admit("POST", f"/{ticket}", 1024) is None
            assert await town.bridge.admit("POST", f"/{town.ticket()}", 1024)
            town.clock.ms += SLOT_MS


@pytest.mark.parametrize(
    ("method", "length", "late", "path"),
    [
        ("GET", 1024, 0, "/{}"),
        ("HEAD", 1024, 0, "/{}"),
        ("POST", None, 0, "/{}"),
        ("POST", 1000, 0, "/{}"),
        ("POST", 768 * 1024, 0, "/{}"),
        ("POST", 1024, 86_400_000, "/{}"),
        ("POST", 1024, 2 * SLOT_MS, "/{}"),
        ("POST", 1024, 0, "/{}/"),
        ("POST", 1024, 0, "/{}?a=b"),
        ("POST", 1024, 0, "/{}x"),
    ],
)
async def test_anything_unusual_is_not_admitted_and_uses_no_ticket(method, length, late, path):
    async with Town() as town:
        ticket = town.ticket()
        town.clock.ms += late
        assert await town.bridge.admit(method, path.format(ticket), length) is None
        town.clock.ms -= late
        assert await town.bridge.admit("POST", f"/{ticket}", 1024)


async def test_a_ticket_of_no_link_is_not_admitted():
    async with Town() as town:
        assert await town.bridge.admit("POST", f"/{town.ticket(bytes([1]) * 32)}", 1024) is None


async def test_a_body_that_cannot_be_opened_is_left_to_the_site():
    async with Town() as town:
        for body in (
            bytes(1024),
            town.ticket().seal_request(protocol.encode_request(forward())),  # of another ticket
        ):
            admission = await town.bridge.admit("POST", f"/{town.ticket()}", 1024)
            assert await town.bridge.answer(admission, body, "") is None
        ticket = town.ticket()
        admission = await town.bridge.admit("POST", f"/{ticket}", 1024)
        assert await town.bridge.answer(admission, ticket.seal_request(b"\x09nonsense"), "") is None
        assert town.bridge.counters.outcomes[Outcome.UNREADABLE] == 3


async def test_a_memory_that_fails_admits_nobody(tmp_path):
    town = Town(tmp_path / "used")
    await town.bridge.__aenter__()
    await town.bridge._nonces.close()
    assert await town.bridge.admit("POST", f"/{town.ticket()}", 1024) is None


# Limits.


async def test_requests_are_limited_by_address_in_all_and_by_link_and_day():
    async with Town(limits=Limits(address_burst=2, address_requests_per_second=0.001)) as town:
        answers = [await town.ask(forward(), peer=f"2001:db8::{i}") for i in range(3)]  # one /64
        assert answers[2] == Refused(Refusal.BUSY) != answers[1]
        assert isinstance(await town.ask(forward(), peer="2001:db8:1::1"), Content)
    async with Town(limits=Limits(request_burst=2, requests_per_second=0.001)) as town:
        answers = [await town.ask(forward(), peer=f"198.51.100.{i}") for i in range(3)]
        assert answers[2] == Refused(Refusal.BUSY) != answers[1]
    async with Town(limits=Limits(requests_per_day=2)) as town:
        answers = [await town.ask(forward()) for _ in range(3)]
        assert answers[2] == Refused(Refusal.BUSY) != answers[1]
        assert isinstance(await town.ask(forward(), secret=SECRETS[0]), Content)  # the other link is not touched
        town.clock.ms += 86_400_000
        assert isinstance(await town.ask(forward()), Content)


def test_an_address_from_a_proxy_counts_only_if_the_proxy_is_ours():
    assert caller("198.51.100.1", "203.0.113.9", 1) == "198.51.100.1"
    assert caller("127.0.0.1", "203.0.113.9", 1) == "203.0.113.9"
    assert caller("127.0.0.1", "spoofed, 203.0.113.9", 1) == "203.0.113.9"
    assert caller("127.0.0.1", "203.0.113.9, 192.0.2.1", 2) == "203.0.113.9"
    assert caller("127.0.0.1", "203.0.113.9", 0) == "127.0.0.1"
    assert caller("127.0.0.1", "203.0.113.9", 2) == "127.0.0.1"
    assert caller("", "203.0.113.9", 1) == "203.0.113.9"


# As a handler.


async def test_the_site_gets_everything_else_as_it_came():
    seen = []

    async def later(request):
        seen.append(request)
        return HttpResponse(405)

    async with Town() as town:
        site = BridgeHandler(town.bridge, later)
        ticket = town.ticket()
        body = ticket.seal_request(protocol.encode_request(forward()))
        request = HttpRequest("POST", f"/{ticket}", {"content-length": "1024"}, body, "198.51.100.1")
        reply = await site(request)
        assert (reply.status, reply.headers["content-type"]) == (200, "application/octet-stream")
        assert protocol.decode_reply(ticket.open_reply(reply.body)) == Content(200, 12, b"sealed reply")
        other = HttpRequest("POST", f"/{town.ticket()}", {"content-length": "1024"}, bytes(1024), "198.51.100.1")
        strangers = [request, other, HttpRequest("GET", "/"), HttpRequest("POST", "/x", {"content-length": "9" * 9})]
        for stranger in strangers:
            assert (await site(stranger)).status == 405
        assert seen == strangers


# What can be read about it.


async def test_counts_are_rounded_and_tell_of_nobody(caplog):
    async with Town() as town:
        for _ in range(3):
            await town.ask(forward(), peer="198.51.100.77")
        await town.ask(forward(guard=bytes(32)))
        text = write(town.bridge.counters, guards=town.bridge.guards)
    assert 'ramson_bridge_requests_total{outcome="forwarded"} 8\n' in text
    assert 'ramson_bridge_requests_total{outcome="refused_guard"} 8\n' in text
    assert 'ramson_bridge_requests_total{outcome="list"} 0\n' in text
    assert 'ramson_bridge_bytes_total{direction="in"} 1048576\n' in text
    assert "ramson_bridge_guards 1\n" in text
    assert "198.51" not in text + caplog.text
    assert 'direction="out"} 0' in write(Counters(), guards=0)


# Guards from seeds.


async def test_guards_come_from_the_seeds_and_are_kept(tmp_path):
    town = Town()
    reply = (
        b'{"result": {"service_node_states": [{"public_ip": "198.51.100.9", "storage_port": 22021, "pubkey_ed25519":'
        b' "%s", "pubkey_x25519": "%s"}]}}' % (GUARD.ed25519.hex().encode(), GUARD.x25519.hex().encode())
    )
    from ramson.protocol.public_seeds import MAINNET

    guards = SeedGuards(town.world, MAINNET, tmp_path / "nodes.json")
    town.net.reply = HttpResponse(200, {}, reply)
    assert (await guards.find(GUARD.ed25519)).ip == "198.51.100.9"
    assert await guards.find(bytes(32)) is None
    assert len(town.net.requests) == 1  # an hour long
    town.clock.ms += 3_600_000
    town.net.reply = NetError(Stage.CONNECT, "")
    assert await guards.find(GUARD.ed25519)
    assert len(town.net.requests) == 4  # all three, in vain
    assert await guards.find(GUARD.ed25519)
    assert len(town.net.requests) == 4  # a minute's pause
    town.clock.ms += 60_000
    town.net.reply = HttpResponse(200, {}, b"{}")
    assert await guards.find(GUARD.ed25519)
    assert len(town.net.requests) == 7
    await guards.close()
    again = SeedGuards(town.world, MAINNET, tmp_path / "nodes.json")
    assert await again.find(GUARD.ed25519)
    assert len(again.listed.nodes) == 1
    await again.close()


# The list for clients.


async def test_a_bridge_gives_the_list_it_runs_with_unsigned_unless_it_has_a_signed_one(tmp_path):
    town, home = Town(), tmp_path / "bridge"
    keys.add(home, "friends", random.Random(1))
    secret = keys.load(home)[0].secret
    pair = Ed25519KeyPair.generate(random.Random(2))
    good = replace(GUARD, ed25519=pair.public, x25519=pair.to_x25519().public)
    states = [
        {
            "public_ip": node.ip,
            "storage_port": node.https_port,
            "pubkey_ed25519": node.ed25519.hex(),
            "pubkey_x25519": node.x25519.hex(),
        }
        for node in (good, GUARD)  # the second one's keys do not belong together
    ]
    reply = {"result": {"service_node_states": states, "height": 77}}
    town.net.reply = HttpResponse(200, {}, json.dumps(reply).encode())

    async def given(settings):
        town.bridge = build(town.world, settings, processes=True)
        async with town.bridge:
            return (await town.ask(ListQuery(LARGE, NAME), secret=secret)).data

    settings = config.BridgeConfig(home)
    found = node_list.decode(await given(settings))
    assert not found.signatures
    assert (found.statement.network, found.statement.height, found.statement.time_ms) == ("mainnet", 77, NOW)
    assert [node.ed25519 for node in found.statement.nodes] == [good.ed25519]
    (tmp_path / "signed").write_bytes(b"signed")
    assert await given(replace(settings, node_list=tmp_path / "signed")) == b"signed"


# Secrets and settings.


def test_each_link_has_a_secret_in_one_private_file(tmp_path):
    home = tmp_path / "bridge"
    with pytest.raises(keys.BridgeKeysError, match="no secret"):
        keys.required(home)
    family, work = (keys.add(home, label, random.Random(i)) for i, label in enumerate(("family", "work")))
    assert keys.required(home) == (family, work)
    assert keys.find((family, work), None) == family
    assert keys.find((family, work), "work") == work
    assert (home / keys.KEYS_FILE).stat().st_mode & 0o777 == 0o600
    assert family.secret.hex() not in repr(family)
    assert str(family.secret) not in repr(family)
    for label in ("family", "", "two words", "x" * 41):
        with pytest.raises(keys.BridgeKeysError):
            keys.add(home, label, random.Random(3))
    with pytest.raises(keys.BridgeKeysError):
        keys.find((family, work), "other")
    (home / keys.KEYS_FILE).chmod(0o644)
    with pytest.raises(NotPrivate):
        keys.load(home)
    (home / keys.KEYS_FILE).chmod(0o600)
    (home / keys.KEYS_FILE).write_text("nonsense\n")
    with pytest.raises(keys.BridgeKeysError):
        keys.load(home)


def test_as_many_requests_are_worked_on_as_are_let_in_while_each_takes_a_second():
    """Otherwise people wait for each other, ask again after three seconds, and make it worse."""
    assert Limits().max_transfers >= Limits().requests_per_second


def test_a_bridge_is_set_up_by_a_file_or_the_environment(tmp_path):
    file = tmp_path / "bridge.toml"
    file.write_text('directory = "/srv/bridge"\nlisten = "0.0.0.0:443"\n[limits]\nmax_transfers = 4\n')
    found = config.from_environment(
        {"RAMSON_BRIDGE_CONFIG": str(file), "RAMSON_BRIDGE_DIRECTORY": "/home/me", "RAMSON_BRIDGE_FORWARDED_HOPS": "2"}
    )
    assert (str(found.directory), found.listen.port, found.limits.max_transfers) == ("/home/me", 443, 4)
    assert found.forwarded_hops == 2
    assert config.from_environment({}, directory="/x").network == "mainnet"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "directory = 1",
        "directory = ",
        'directory = "x"\nunknown = 1',
        'directory = "x"\nlisten = "nowhere"',
        'directory = "x"\nmetrics = "0.0.0.0:9000"',
        'directory = "x"\ncertificate = "only.pem"',
        'directory = "x"\nforwarded_hops = -1',
        'directory = "x"\n[limits]\nmax_transfers = 0',
        'directory = "x"\n[limits]\nmax_kept = 1000',
    ],
)
def test_settings_that_cannot_be_are_refused(text):
    with pytest.raises(BadBridgeConfig):
        config.parse(text, {})
    with pytest.raises(LocalError):
        config.from_environment({"RAMSON_BRIDGE_CONFIG": "/does/not/exist"})
