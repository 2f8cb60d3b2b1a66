"""`ramson bridge check`: what a bridge does, seen from outside, for its users and for strangers.

Each step is done as it is in use; nothing is taken on trust.  The nodes asked through the bridge are random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ramson.errors import RamsonError
from ramson.network import guard_test
from ramson.protocol import bridge as protocol
from ramson.protocol import node_list
from ramson.protocol.bridge import NONCE_SIZE, BridgeLink, ListQuery, Refusal, Ticket
from ramson.protocol.node_list import ListAuthority
from ramson.protocol.nodes import NodeRecord
from ramson.reach.bridge import BridgeRefused, BridgeRoute
from ramson.world import Endpoint, HttpRequest, HttpResponse, NetError, Tls, World

SECONDS: Final = 15.0
ASKED: Final = 3  # nodes
VARYING: Final = frozenset({"date", "age", "cf-ray", "x-request-id", "set-cookie", "nel", "report-to", "etag"})


class Verdict(StrEnum):
    """How a step ended."""

    OK = "ok"
    NOTE = "note"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """What was looked at, and what was found."""

    what: str
    verdict: Verdict
    found: str


async def check(world: World, link: BridgeLink, nodes: Sequence[NodeRecord], authority: ListAuthority) -> list[Step]:
    """Look at a bridge from outside."""
    steps = [await _site(world, link)]
    if steps[0].verdict is Verdict.FAILED:
        return steps
    steps.append(await _strangers(world, link))
    for thrifty, what in ((False, "nodes"), (True, "nodes, over short connections")):
        route = BridgeRoute(world, world.outlets.direct(), link, thrifty=thrifty)
        try:
            steps.append(await _nodes(world, route, nodes, what))
            if not thrifty:
                steps.append(await _list(route, authority))
        finally:
            await route.close()
    return steps


async def _site(world: World, link: BridgeLink) -> Step:
    try:
        page = await _send(world, link, HttpRequest("GET", link.path))
    except NetError as error:
        return Step("web site", Verdict.FAILED, str(error))
    found = f"answers with status {page.status} and {len(page.body)} bytes"
    return Step("web site", Verdict.OK if page.status == 200 else Verdict.NOTE, found)


async def _strangers(world: World, link: BridgeLink) -> Step:
    """Compare what a used ticket gets with what a path gets that never was one."""
    what = "strangers"
    ticket = Ticket.make(link.secret, now_ms=world.clock.now(), nonce=world.entropy.randbytes(NONCE_SIZE))
    query = protocol.encode_request(ListQuery(protocol.SMALL, world.entropy.randbytes(protocol.TRANSFER_SIZE)))
    body = ticket.seal_request(query)
    wrong = Ticket.make(world.entropy.randbytes(32), now_ms=0, nonce=world.entropy.randbytes(NONCE_SIZE))
    try:
        first = await _send(world, link, HttpRequest("POST", f"{link.path}{ticket}", body=body))
        again = await _send(world, link, HttpRequest("POST", f"{link.path}{ticket}", body=body))
        other = await _send(world, link, HttpRequest("POST", f"{link.path}{wrong}", body=body))
    except NetError as error:
        return Step(what, Verdict.FAILED, str(error))
    if _seen(first) == _seen(other):
        return Step(
            what, Verdict.FAILED, "the site answers, but not as a bridge: a wrong link, or a clock that is wrong"
        )
    if _seen(again) != _seen(other):
        return Step(
            what, Verdict.FAILED, "a request sent again is answered otherwise than a wrong one: it can be found"
        )
    return Step(what, Verdict.OK, f"get status {other.status}, as for any wrong path")


async def _nodes(world: World, route: BridgeRoute, nodes: Sequence[NodeRecord], what: str) -> Step:
    if not nodes:
        return Step(what, Verdict.NOTE, "no node is known to ask; --ask-seeds fetches a list")
    asked = world.entropy.sample(list(nodes), min(ASKED, len(nodes)))
    began = world.clock.monotonic()
    answered, trouble = 0, ""
    for node in asked:
        question = guard_test.question(node, world.entropy)
        try:
            reply = await route.post(node, question.body, timeout=SECONDS)
        except NetError as error:
            trouble = f"; {error}"
        else:
            answered += guard_test.passed(question, reply)
    seconds = (world.clock.monotonic() - began) / len(asked)
    found = f"{answered} of {len(asked)} answered, {seconds:.1f} s each{trouble}"
    return Step(what, Verdict.OK if answered else Verdict.FAILED, found)


async def _list(route: BridgeRoute, authority: ListAuthority) -> Step:
    what = "node list"
    try:
        signed = node_list.decode(await route.node_list(timeout=SECONDS))
    except BridgeRefused as error:
        verdict = Verdict.NOTE if error.reason is Refusal.NO_LIST else Verdict.FAILED
        return Step(what, verdict, str(error))
    except RamsonError as error:
        return Step(what, Verdict.FAILED, str(error))
    trusted = authority.trusts(signed)
    count = len(signed.statement.nodes)
    found = f"{count} nodes, {'signed by enough of those who may' if trusted else 'not signed by those who may'}"
    return Step(what, Verdict.OK if trusted else Verdict.NOTE, found)


async def _send(world: World, link: BridgeLink, request: HttpRequest) -> HttpResponse:
    pins = frozenset([link.pin] if link.pin else [])
    tls = Tls(pins=pins, verify=not pins, server_name=link.front or "") if link.tls else None
    host = link.site.partition("://")[2].partition("/")[0]
    headers = {"Host": host, "Content-Type": "application/octet-stream"}
    named = HttpRequest(request.method, request.target, headers, request.body)
    return await world.net.request(Endpoint(link.front or link.host, link.port), named, tls=tls, timeout=SECONDS)


def _seen(response: HttpResponse) -> tuple[int, dict[str, str], bytes]:
    return response.status, {k: v for k, v in response.headers.items() if k not in VARYING}, response.body
