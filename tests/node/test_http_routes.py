"""The HTTPS side of a node: routes, refusals, headers, and that no defect shows."""

import asyncio
import logging

import pytest

from ramson.node.http_routes import MAX_BODY, SERVER, HttpRoutes, limits
from ramson.node.outcome import Outcome
from ramson.node.relay import Relayed
from ramson.world import HttpRequest, HttpResponse

LEGACY = bytes(range(32))


class Parts:
    """Everything a route may ask, answering as told."""

    def __init__(self):
        self.reasons = ()
        self.allowed = True
        self.outcome = Outcome(200, b'{"a":1}', is_json=True)
        self.relayed = Relayed(200, b"sealed")
        self.bodies, self.callers = [], []

    def unready(self):
        return self.reasons

    def allow(self, address):
        self.callers.append(address)
        return self.allowed

    def handle_json(self, body):
        self.bodies.append(body)
        return self.answer(self.outcome)

    def enter(self, body):
        self.bodies.append(body)
        return self.answer(self.relayed)

    @staticmethod
    def answer(what):
        if isinstance(what, Exception):
            raise what
        return what


@pytest.fixture
def parts():
    return Parts()


@pytest.fixture
def ask(parts):
    routes = HttpRoutes(service=parts, relay=parts, standing=parts, limiter=parts, legacy=LEGACY)

    def ask(method, target, body=b"", headers=None, peer="192.0.2.1"):
        return routes.handle(HttpRequest(method, target, headers or {}, body, peer))

    return ask


RPC = ("POST", "/storage_rpc/v1")
ONION = ("POST", "/onion_req/v2")


def later(value):
    async def wait():
        await asyncio.sleep(0)
        if isinstance(value, Exception):
            raise value
        return value

    return wait()


def test_json_and_text_have_their_types(ask, parts):
    assert ask(*RPC, b"{}") == HttpResponse(200, {"Content-Type": "application/json"}, b'{"a":1}')
    parts.outcome = Outcome.text(401, "no")
    assert ask(*RPC, b"{}") == HttpResponse(401, {"Content-Type": "text/plain"}, b"no")
    assert parts.bodies == [b"{}", b"{}"]


async def test_an_answer_may_come_later(ask, parts):
    parts.outcome = later(Outcome.text(404, "x"))
    assert (await ask(*RPC)).status == 404
    parts.relayed = later(Relayed(504, b"Request time out"))
    assert await ask(*ONION) == HttpResponse(504, {"Content-Type": "text/plain"}, b"Request time out")


def test_a_server_reached_through_the_entry_keeps_its_headers(ask, parts):
    parts.relayed = Relayed(404, b"gone", {"content-type": "x/y", "x-more": "1"})
    assert ask(*ONION) == HttpResponse(404, {"content-type": "x/y", "x-more": "1"}, b"gone")


def test_a_ping_shows_the_legacy_key(ask):
    reply = ask("POST", "/ping_test/v1")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["X-Oxen-Snode-Pubkey"] == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def test_stats_are_a_version(ask):
    reply = ask("GET", "/get_stats/v1")
    assert (reply.body, reply.headers["Content-Type"]) == (b'{"version":"2.8.0"}', "application/json")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("POST", "/nope"),
        ("GET", "/storage_rpc/v1"),
        ("PUT", "/storage_rpc/v1"),
        ("GET", "/onion_req/v2"),
        ("POST", "/get_stats/v1"),
        ("GET", "/ping_test/v1"),
        ("POST", "/storage_rpc/v1/"),
    ],
)
def test_there_is_nothing_else(ask, method, target):
    reply = ask(method, target)
    assert (reply.status, reply.headers["Content-Type"]) == (404, "text/plain")
    assert reply.body == f"{method.lower()} {target} Not Found".encode()


def test_a_query_is_ignored(ask):
    assert ask("POST", "/storage_rpc/v1?x=1").status == 200
    assert ask("GET", "/nope?x=1").body == b"get /nope Not Found"


def test_a_node_that_is_not_ready_says_why_and_still_answers_pings(ask, parts):
    parts.reasons = ("one thing", "another")
    for route in (RPC, ONION):
        reply = ask(*route)
        assert (reply.status, reply.body) == (503, b"Service node is not ready: one thing; another\n")
    assert ask("POST", "/ping_test/v1").status == ask("GET", "/get_stats/v1").status == 200
    assert parts.bodies == []


@pytest.mark.parametrize(("value", "status"), [("true", 410), ("0", 410), ("", 200)])
def test_long_polling_is_gone(ask, value, status):
    reply = ask(*RPC, headers={"x-loki-long-poll": value})
    assert reply.status == status
    if status == 410:
        assert reply.body == b"long polling is no longer supported, client upgrade required"
    assert ask(*ONION, headers={"x-loki-long-poll": value}).status == 200


def test_callers_that_ask_too_often(ask, parts):
    parts.allowed = False
    reply = ask(*RPC, peer="2001:db8::1")
    assert (reply.status, reply.body) == (429, b"Too Many Requests\n")
    assert ask(*ONION).status == 200
    assert parts.callers == ["2001:db8::1"]


async def test_no_defect_shows(ask, parts, caplog):
    parts.outcome = parts.relayed = ValueError("secret")
    want = HttpResponse(500, {"Content-Type": "text/plain"}, b"request failed")
    with caplog.at_level(logging.ERROR):
        assert ask(*RPC) == ask(*ONION) == want
        parts.outcome, parts.relayed = later(ValueError("secret")), later(ValueError("secret"))
        assert await ask(*RPC) == await ask(*ONION) == want
    assert len(caplog.records) == 4


def test_limits():
    assert (limits(7, 3).max_connections, limits(7, 3).max_connections_per_address) == (7, 3)
    assert limits(7, 3).max_body == MAX_BODY == 10 * 1024 * 1024
    assert limits(7, 3).server == SERVER == "Oxen Storage Server/2.8.0"
    assert limits(7, 3).too_large == "Request body too large"
    assert limits(7, 3).bodyless == {"/ping_test/v1"}
