"""A recursive request: forwarded to the other members, carried out here, and answered for all of them.

There is no quorum: whatever the members report is the reply, and its status is 200 even if all failed, except that a
`delete` with `required` is 404 when nobody deleted anything.  Spec: storage-rpc.md §4, swarms.md §6,
node/CORRECTIONS.md.

Theory of operation.  The forwarded form is made once and is on its way before the own mailbox is asked.  All
answers are awaited for 5 s together; what is still missing then is a timeout, and is called off.  An answer is the
member's report, or code and text; it is read and checked before it is passed on, so that flags are true (the reference
server passes on the 1 of bencode) and a member cannot put anything else into our reply.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Any, Final

from ramson.errors import ParseError
from ramson.node.counters import Counters
from ramson.node.forwarding import Forwarder
from ramson.node.local import LocalMember
from ramson.node.outcome import Outcome
from ramson.node.replies import encode
from ramson.protocol import bt
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.storage import (
    AccountRequest,
    Delete,
    DeletedEntry,
    Encoding,
    Failed,
    Report,
    Signed,
    Store,
    StoreEntry,
    read_report,
)
from ramson.protocol.storage.entries import MAX_REASON
from ramson.world import Clock, PeerRefused, PeerTimeout

log = logging.getLogger(__name__)

SWARM_SECONDS: Final = 5.0

# What a member that stored a message reports, nearly always; saves reading it as bencode, several times a store.
_STORE_REPORT: Final = re.compile(
    rb"d(?:7:alreadyi([01])e)?6:expiryi([1-9][0-9]{0,17})e4:hash43:([A-Za-z0-9+/]{43})9:signature64:(.{64})e",
    re.DOTALL,
)

_NO_ANSWER: Final = Failed(timeout=True)
_NONSENSE: Final = Failed(bad_peer_response=True)


class SwarmRequests:
    """Carries out recursive requests as the member with the Ed25519 key `own` (32 bytes)."""

    def __init__(
        self,
        own: bytes,
        member: LocalMember,
        forwarder: Forwarder,
        clock: Clock,
        counters: Counters | None = None,
    ) -> None:
        self._own = own.hex()
        self._member = member
        self._forwarder = forwarder
        self._clock = clock
        self._counters = counters or Counters()

    async def run(
        self, sent: AccountRequest, admitted: AccountRequest, hardfork: tuple[int, int], encoding: Encoding
    ) -> Outcome:
        """Carry out a request; `sent` is what goes to the others, who admit it themselves."""
        peers = self._forwarder.peers(sent.account)
        answers: list[asyncio.Future[list[bytes]]] = []
        deadline = asyncio.get_running_loop().time() + SWARM_SECONDS
        try:
            if peers:
                body = bt.encode(sent.to_bt())
                answers.extend(self._send(peer, sent.method.name, body) for peer in peers)
            own = await self._member.carry_out(admitted, self._clock.now())
            if not all(answer.done() for answer in answers):
                left = deadline - asyncio.get_running_loop().time()
                await asyncio.wait(answers, timeout=max(left, 0))
        finally:
            await _call_off(answers)
        reports = [_report(sent, answer) for answer in answers]
        return self._reply(sent, own, peers, reports, hardfork, encoding)

    def _send(self, peer: NodeRecord, method: str, body: bytes) -> asyncio.Future[list[bytes]]:
        try:
            return asyncio.ensure_future(self._forwarder.forward(peer, method, body, SWARM_SECONDS))
        except (PeerTimeout, PeerRefused) as error:
            failed: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            return failed

    def _reply(
        self,
        request: AccountRequest,
        own: Report,
        peers: Sequence[NodeRecord],
        reports: Sequence[Report],
        hardfork: tuple[int, int],
        encoding: Encoding,
    ) -> Outcome:
        now = self._clock.now()
        entry = own.fields()
        members: dict[str, Any] = {self._own: entry}
        for peer, report in zip(peers, reports, strict=True):
            members[peer.ed25519.hex()] = report.fields()
            if isinstance(report, Failed):
                self._counters.replication_failed(peer.ed25519)
        document: dict[str, Any] = {"swarm": members, "t": now, "hf": hardfork}
        status = 200
        if isinstance(request, Store):
            # Old clients look for the time in our own entry and for the hash beside the entries.
            entry["t"] = now
            stored = (report.entry for report in (own, *reports) if isinstance(report, Signed))
            if first := next((entry for entry in stored if isinstance(entry, StoreEntry)), None):
                document["hash"] = first.hash
        elif isinstance(request, Delete) and request.required and not any(map(_deleted, (own, *reports))):
            status = 404
        return Outcome(status, encode(document, encoding), is_json=True)


def _deleted(report: Report) -> bool:
    return isinstance(report, Signed) and isinstance(report.entry, DeletedEntry) and bool(report.entry.hashes)


async def _call_off(answers: Sequence[asyncio.Future[list[bytes]]]) -> None:
    """End what is still running, so that nothing outlives the request."""
    late = [answer for answer in answers if not answer.done()]
    for answer in late:
        answer.cancel()
    if late:
        await asyncio.wait(late)
    for answer in answers:
        if not answer.cancelled():
            answer.exception()  # seen, even when nobody will read it


def _report(request: AccountRequest, answer: asyncio.Future[list[bytes]]) -> Report:
    """Read what became of a forwarded request."""
    if answer.cancelled():
        return _NO_ANSWER
    match answer.exception():
        case None:
            return read_answer(request, answer.result())
        case PeerTimeout():
            return _NO_ANSWER
        case PeerRefused() as refused:
            return Failed(code=refused.code.decode("ascii", "replace"), reason="refused")
        case error:
            # A defect here must not hide that the others have done it.
            log.error("forwarding failed: method=%s", request.method.name, exc_info=error)
            return Failed(reason="internal error")


def read_answer(request: AccountRequest, parts: Sequence[bytes]) -> Report:
    """Read the data parts of a member's answer: its report, or a code and a text."""
    try:
        match parts:
            case [report] if isinstance(request, Store) and (found := _STORE_REPORT.fullmatch(report)):
                already, expiry, name, signature = found.groups()
                entry = StoreEntry(hash=name.decode(), expiry=int(expiry), already=already == b"1")
                return Signed(entry, signature)
            case [report]:
                return read_report(request, bt.decode(report))
            case [b"421", _]:
                return Failed(code="421", reason="the member says that its swarm does not own the account")
            case [code, text] if code.isdigit() and len(code) == 3:
                return Failed(code=code.decode(), reason=text[:MAX_REASON].decode("utf-8", "replace"))
    except ParseError:
        pass
    return _NONSENSE
