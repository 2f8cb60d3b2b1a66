"""The node's OxenMQ side: its commands, who may use them, and what answers them.

Category `sn` is for nodes that are in a swarm by the list of that very moment; `storage` and `monitor` are for
everybody; `service` and `notify` are a daemon's, and this node has none.  Spec: oxend-interface.md §5,
storage-rpc.md §1, swarms.md §7.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias

from ramson.node.counters import Counters
from ramson.node.handoff import HandoffReceiver
from ramson.node.http_routes import nobody_asks
from ramson.node.monitor import Monitor
from ramson.node.ratelimit import RateLimiter
from ramson.node.relay import OnionRelay, Relayed
from ramson.node.service import Service
from ramson.node.standing import Standing
from ramson.node.storage_test import StorageTests
from ramson.node.swarm.peers import COMMAND
from ramson.node.swarm.repair import Answerer
from ramson.protocol.omq import RefusalCode
from ramson.protocol.storage import BY_NAME
from ramson.world import Command, Origin, Reply

_FAILED: Final = [b"500", b"request failed"]
_TOO_MANY: Final = [b"429", b"Too Many Requests\n"]

Handler: TypeAlias = Callable[[Origin, list[bytes]], Reply | Awaitable[Reply]]

log = logging.getLogger(__name__)


def commands(
    *,
    standing: Standing,
    service: Service,
    relay: OnionRelay,
    handoff: HandoffReceiver,
    repair: Answerer,
    tests: StorageTests,
    monitor: Monitor,
    limiter: RateLimiter,
    pinged: Callable[[], None] = nobody_asks,
    counters: Counters | None = None,
) -> dict[str, Command]:
    """Return everything the node's link answers, by name; `pinged` is told of pings."""
    counts = counters or Counters()

    def only_nodes(origin: Origin) -> bytes | None:
        return None if standing.is_active(origin.key) else RefusalCode.FORBIDDEN_SN.value

    def onion(_origin: Origin, parts: list[bytes]) -> Reply | Awaitable[Reply]:
        answer = relay.hop(parts)
        return _relayed(answer) if isinstance(answer, Relayed) else _relayed_later(answer)

    def client_method(name: str, origin: Origin, parts: list[bytes]) -> Reply | Awaitable[Reply]:
        if origin.address and not limiter.allow(origin.address):
            counts.rate_limited += 1
            return _TOO_MANY
        return service.handle_omq(name, parts)

    def subscribe(origin: Origin, parts: list[bytes]) -> Reply | Awaitable[Reply]:
        if origin.address and not limiter.allow(origin.address):
            counts.rate_limited += 1
            return monitor.refuse("Too Many Requests")
        return monitor.subscribe(origin, parts)

    def ping(_origin: Origin, _parts: list[bytes]) -> Reply:
        pinged()
        return [b"pong"]

    nodes: dict[str, Handler] = {
        "sn.ping": ping,
        "sn.data": lambda _origin, parts: handoff.receive(parts),
        COMMAND: repair.answer,
        "sn.storage_cc": lambda _origin, parts: service.handle_forwarded(parts),
        "sn.onion_request": onion,
        "sn.storage_test": tests.answer,
    }
    anyone: dict[str, Handler] = {f"storage.{name}": partial(client_method, name) for name in BY_NAME}
    anyone["monitor.messages"] = subscribe
    return {
        **{name: Command(partial(_guarded, name, handler), refuse=only_nodes) for name, handler in nodes.items()},
        **{name: Command(partial(_guarded, name, handler)) for name, handler in anyone.items()},
        "service.get_stats": Command(_nothing, refuse=_nobody),
        "notify.block": Command(_nothing, refuse=_nobody),
    }


def _nobody(_origin: Origin) -> bytes:
    return RefusalCode.FORBIDDEN.value


def _nothing(_origin: Origin, _parts: list[bytes]) -> Reply:
    return None


def _guarded(name: str, handle: Handler, origin: Origin, parts: list[bytes]) -> Reply | Awaitable[Reply]:
    """Call a handler so that no peer sees a traceback or waits in vain because of a defect."""
    try:
        reply = handle(origin, parts)
    except Exception:
        log.exception("request failed: command=%s", name)
        return _FAILED
    return _guarded_later(name, reply) if isinstance(reply, Awaitable) else reply


async def _guarded_later(name: str, reply: Awaitable[Reply]) -> Reply:
    try:
        return await reply
    except Exception:
        log.exception("request failed: command=%s", name)
        return _FAILED


def _relayed(answer: Relayed) -> list[bytes]:
    return [b"%d" % answer.status, answer.body]


async def _relayed_later(answer: Awaitable[Relayed]) -> list[bytes]:
    return _relayed(await answer)
