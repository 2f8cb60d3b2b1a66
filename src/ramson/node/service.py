"""The storage service of a node: every method of the storage RPC, for clients and for the other members of the swarm.

It is handed bytes and returns outcomes; transports, readiness, rate limits and addresses are not its business.  It
never raises for anything a stranger sends.  Spec: storage-rpc.md, swarms.md §6, node/CORRECTIONS.md.

Theory of operation.  A request is parsed whole (`protocol.storage`), refused if its account belongs to another
swarm, and checked (`checks`).  What only reads is answered at once, without a task.  What changes messages is a
coroutine: for a client's request it asks the whole swarm (`swarm_request`), for a forwarded one only this node
(`local`).  Batches put outcomes together (`batch`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Final

from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import ParseError
from ramson.node import replies
from ramson.node.batch import Pending, run_batch, run_sequence
from ramson.node.checks import Checks
from ramson.node.counters import Counters
from ramson.node.forwarding import Forwarder
from ramson.node.local import LocalMember
from ramson.node.mailbox import Mailbox
from ramson.node.membership import Membership
from ramson.node.monitor import Monitor
from ramson.node.outcome import Outcome
from ramson.node.swarm_request import SwarmRequests
from ramson.protocol import storage
from ramson.protocol.storage import AccountRequest, BadRequest, Encoding, Request
from ramson.protocol.storage.limits import DEFAULT_RETRIEVE_SHARE, MAX_RETRIEVE
from ramson.registry import Registry, RegistryError
from ramson.world import Clock

log = logging.getLogger(__name__)

VERSION: Final = (2, 8, 0)  # of the storage server whose methods these are

_UNEXPECTED: Final = "storage request failed: method=%s"

_FAILED: Final = Outcome.text(500, "request failed")
_NOT_FORWARDABLE: Final = Outcome.text(400, "invalid request: received invalid forwarded non-forwardable request")
_NO_DATA: Final = Outcome.text(502, "the daemon's answer cannot be read")


class Service:
    """The service of the node whose Ed25519 pair is `signer`."""

    def __init__(
        self,
        *,
        clock: Clock,
        signer: Ed25519KeyPair,
        mailbox: Mailbox,
        registry: Registry,
        forwarder: Forwarder,
        monitor: Monitor,
        testnet: bool,
        version: tuple[int, int, int] = VERSION,
        counters: Counters | None = None,
    ) -> None:
        self._clock = clock
        self._mailbox = mailbox
        self._registry = registry
        self._testnet = testnet
        self._version = version
        self._counters = counters or Counters()
        self._membership = Membership(registry, signer.public)
        self._checks = Checks(mailbox.is_revoked, lambda: registry.current().hardfork)
        self._member = LocalMember(mailbox, monitor, signer, self._counters)
        self._swarm = SwarmRequests(signer.public, self._member, forwarder, clock, self._counters)

    def handle_json(self, body: bytes) -> Pending:
        """Answer {"method", "params"}: the body of `storage_rpc`, or the payload of an onion request."""
        try:
            request = storage.parse_rpc_json(body, testnet=self._testnet)
        except BadRequest as refusal:
            return Outcome.text(refusal.status, refusal.text)
        return self._execute(request, Encoding.JSON)

    def handle_omq(self, method: str, parts: list[bytes]) -> list[bytes] | Awaitable[list[bytes]]:
        """Answer the OxenMQ request `storage.<method>`; `method` is one of `protocol.storage.BY_NAME`."""
        try:
            request, encoding = storage.parse_omq(method, parts, testnet=self._testnet)
        except BadRequest as refusal:
            return Outcome.text(refusal.status, refusal.text).omq_parts()
        outcome = self._execute(request, encoding)
        return outcome.omq_parts() if isinstance(outcome, Outcome) else _parts(outcome)

    def handle_forwarded(self, parts: list[bytes]) -> list[bytes] | Awaitable[list[bytes]] | None:
        """Answer `sn.storage_cc` of another member: [method, body].  None means no reply."""
        if len(parts) != 2:
            return None
        name, body = parts
        kind = storage.BY_NAME.get(name.decode("ascii", "replace"))
        if kind is None:
            return None
        if not kind.method.recursive:
            return _NOT_FORWARDABLE.omq_parts()
        try:
            params, encoding = storage.decode_body(body)
            request = storage.parse(kind.method.name, params, encoding, testnet=self._testnet)
        except BadRequest as refusal:
            return Outcome.text(refusal.status, refusal.text).omq_parts()
        self._counters.forwarded += 1
        assert isinstance(request, AccountRequest)  # noqa: S101 - all recursive methods are about accounts
        return self._execute_forwarded(request, encoding)

    # ---- carrying out

    def _execute(self, request: Request, encoding: Encoding) -> Pending:
        """Carry out a request.  Neither this nor what it returns raises, but for cancellation."""
        self._counters.requests[request.method.name] += 1
        try:
            outcome = self._dispatch(request, encoding)
        except Exception:
            log.exception(_UNEXPECTED, request.method.name)  # a stranger gets no traceback, whatever went wrong
            outcome = _FAILED
        if isinstance(outcome, Outcome):
            self._counters.refused += outcome.status >= 400
            return outcome
        return self._finish(outcome, request)

    async def _finish(self, pending: Awaitable[Outcome], request: Request) -> Outcome:
        try:
            outcome = await pending
        except Exception:
            log.exception(_UNEXPECTED, request.method.name)
            outcome = _FAILED
        self._counters.refused += outcome.status >= 400
        return outcome

    def _dispatch(self, request: Request, encoding: Encoding) -> Pending:
        match request:
            case AccountRequest():
                return self._about_account(request, encoding)
            case storage.Info():
                return self._info(encoding)
            case storage.GetSwarm():
                now = self._clock.now()
                return Outcome(200, self._membership.view().swarm_reply(request.account, encoding, now), is_json=True)
            case storage.Batch():
                return run_batch(request, encoding, self._execute)
            case storage.Sequence():
                return run_sequence(request, encoding, self._execute)
            case storage.IfElse():
                return self._if_else(request, encoding)
            case storage.OxendRequest():
                return self._ask_daemon(request, encoding)
            case _:
                raise TypeError(f"no way to carry out {request.method.name}")

    def _about_account(self, request: AccountRequest, encoding: Encoding) -> Pending:
        view = self._membership.view()
        now = self._clock.now()
        if not view.owns(request.account):
            return Outcome(421, view.swarm_reply(request.account, encoding, now), is_json=True)
        admitted = self._checks.admit(request, now, forwarded=False)
        match admitted:
            case Outcome():
                return admitted
            case storage.Retrieve():
                return self._retrieve(admitted, now, view.hardfork, encoding)
            case storage.GetExpiries():
                expiries = self._mailbox.expiries(admitted.account, admitted.messages)
                return replies.success({"expiries": expiries}, encoding)
            case _:
                return self._swarm.run(request, admitted, view.hardfork, encoding)

    def _execute_forwarded(self, request: AccountRequest, encoding: Encoding) -> list[bytes] | Awaitable[list[bytes]]:
        try:
            view = self._membership.view()
            now = self._clock.now()
            if not view.owns(request.account):
                return Outcome(421, view.swarm_reply(request.account, encoding, now), is_json=True).omq_parts()
            admitted = self._checks.admit(request, now, forwarded=True)
        except Exception:
            log.exception(_UNEXPECTED, request.method.name)
            return _FAILED.omq_parts()
        if isinstance(admitted, Outcome):
            return admitted.omq_parts()
        return self._report(admitted, now, encoding)

    async def _report(self, request: AccountRequest, now: int, encoding: Encoding) -> list[bytes]:
        try:
            report = await self._member.carry_out(request, now)
            return [replies.encode(report.fields(), encoding)]
        except Exception:
            log.exception(_UNEXPECTED, request.method.name)
            return _FAILED.omq_parts()

    # ---- methods that only read

    def _info(self, encoding: Encoding) -> Outcome:
        now = self._clock.now()
        hardfork = self._membership.view().hardfork
        return replies.success({"version": self._version, "timestamp": now, "t": now, "hf": hardfork}, encoding)

    def _retrieve(self, request: storage.Retrieve, now: int, hardfork: tuple[int, int], encoding: Encoding) -> Outcome:
        if request.max_size > 0:
            size = min(request.max_size, MAX_RETRIEVE)
        elif request.max_size < 0:
            size = MAX_RETRIEVE // -request.max_size
        else:
            size = MAX_RETRIEVE if request.max_count else MAX_RETRIEVE // DEFAULT_RETRIEVE_SHARE
        found = self._mailbox.retrieve(
            request.account,
            request.namespace,
            after=request.last_hash or None,
            max_count=request.max_count or None,
            max_size=size,
        )
        outcome = replies.page(found, hardfork, now, encoding)
        self._counters.retrieved += len(found.messages)
        self._counters.retrieved_bytes += len(outcome.body)
        return outcome

    # ---- methods that ask others

    async def _ask_daemon(self, request: storage.OxendRequest, encoding: Encoding) -> Outcome:
        try:
            result = await self._registry.call(request.endpoint, dict(request.params))
        except RegistryError as error:
            return Outcome.text(400, str(error))
        except ParseError:
            return _NO_DATA
        if encoding is Encoding.BT:
            result = replies.bencodable(result)
        hardfork = self._membership.view().hardfork
        return replies.success({"result": result, "t": self._clock.now(), "hf": hardfork}, encoding)

    def _if_else(self, request: storage.IfElse, encoding: Encoding) -> Pending:
        nodes = self._registry.current()
        condition = request.conditions.hold(hardfork=nodes.hardfork, version=self._version, height=nodes.height)
        taken = request.then if condition else request.otherwise

        def reply(outcome: Outcome | None) -> Outcome:
            return replies.branch(
                outcome,
                encoding,
                condition=condition,
                hardfork=nodes.hardfork,
                version=self._version,
                height=nodes.height,
            )

        async def reply_later(outcome: Awaitable[Outcome]) -> Outcome:
            return reply(await outcome)

        pending = None if taken is None else self._execute(taken, encoding)
        return reply(pending) if pending is None or isinstance(pending, Outcome) else reply_later(pending)


async def _parts(outcome: Awaitable[Outcome]) -> list[bytes]:
    return (await outcome).omq_parts()


async def _guarded(outcome: Awaitable[Outcome], request: Request) -> Outcome:
    try:
        return await outcome
    except Exception:
        log.exception(_UNEXPECTED, request.method.name)
        return _FAILED
