"""A mailbox in the swarm: store, retrieve, poll, delete, change expiries.

Requests are made and signed here; `swarm_requests` finds somebody to answer them, and `mailbox_reply` says what the
answers are worth.  Spec: messaging.md §3.7, bootstrap-and-paths.md §2.8, storage-rpc.md §4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ramson.crypto.account import AccountId, AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.errors import LocalError, ParseError
from ramson.network import receipts
from ramson.network.errors import NetworkError
from ramson.network.failures import of_node
from ramson.network.receipts import DeleteReceipt, ExpireReceipt, Polled, Retrieved, StoreReceipt
from ramson.network.requests import Answer, OnionRequests
from ramson.network.routing import Routing
from ramson.network.swarm_requests import SwarmRequests
from ramson.network.swarms import Swarms
from ramson.protocol.namespaces import DAY_MS, Namespace, anyone_may_store, max_ttl_ms
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.storage import (
    AccountRequest,
    Delete,
    DeleteAll,
    Expire,
    GetExpiries,
    Retrieve,
    RetrieveReply,
    Store,
    read_reply,
    sign,
)
from ramson.protocol.storage.limits import MAX_DATA, MIN_TTL_MS

MAX_PAGES = 10  # of one retrieve; what is left is said to be more
MAX_BYTES = 4 * 1024 * 1024  # after so many no other page is asked for: all of a retrieve is held in memory
POLLED = 2  # members asked in parallel
SECOND_POLL_GRACE = 1.0  # seconds that the slower of them has after the faster; what it missed the next poll brings
CONFIG_TTL_MS = 30 * DAY_MS
_MESSAGE_NAMESPACES = frozenset({Namespace.DIRECT, Namespace.GROUP_MESSAGES})


class CannotStore(LocalError):
    """No node would take this message: it is too large, lives too short or too long, or is not signed."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something to store in our own mailbox, in a namespace and for a time in ms."""

    namespace: int
    data: bytes = field(repr=False)
    ttl_ms: int = CONFIG_TTL_MS


class Mailbox:
    """The mailbox operations of one client; `now` gives network time in Unix ms."""

    def __init__(
        self,
        requests: OnionRequests,
        swarm_requests: SwarmRequests,
        swarms: Swarms,
        routing: Routing,
        now: Callable[[], int],
    ) -> None:
        self._requests = requests
        self._swarm = swarm_requests
        self._swarms = swarms
        self._routing = routing
        self._now = now

    async def store(
        self,
        account: AccountId,
        data: bytes,
        *,
        ttl_ms: int,
        namespace: int = 0,
        keys: AccountKeys | None = None,
        timestamp: int | None = None,
    ) -> StoreReceipt:
        """Store `data` in the account's swarm for `ttl_ms`.

        It counts as stored only if a member of the swarm signs for the very hash of this data.  Namespaces not open
        to all need the account's `keys`.  `timestamp` is network time unless given.  Storing the same bytes again
        makes no second message.  Raises CannotStore, NetworkError.
        """
        check_storable(data, ttl_ms=ttl_ms, namespace=namespace, signed=keys is not None)
        expected = message_hash(account.raw, namespace, data)

        def make(_member: NodeRecord) -> list[Store]:
            moment = self._now() if timestamp is None else timestamp
            store = Store(account=account.raw, data=data, timestamp=moment, expiry=moment + ttl_ms, namespace=namespace)
            return [store if keys is None or anyone_may_store(namespace) else sign(store, keys)]

        def read(answer: Answer, sent: Sequence[Store]) -> StoreReceipt:
            found = receipts.vouched(sent[0], read_reply(sent[0], answer.results[0].body), self._routing.listed)
            good, bad = receipts.stored_by(found, expected)
            if not good:
                raise ParseError("no node of the swarm confirms that it keeps the message")
            return StoreReceipt(expected, good, bad, sent[0].timestamp, answer.path)

        return await self._swarm.ask(account.raw, make, read)

    async def retrieve(
        self,
        keys: AccountKeys,
        namespaces: Sequence[int],
        last: Mapping[bytes, Mapping[int, str]],
        *,
        node: NodeRecord | None = None,
        extend: Sequence[str] = (),
    ) -> Retrieved:
        """Fetch what one member of our own swarm has in some namespaces, page after page.

        In the same batch the configs with the hashes `extend` are given their full lifetime again.

        `last` holds, by the member's Ed25519 key, the hash to go on from in each namespace; at other members it is of
        no use.  A random member is asked unless a `node` is named.  Raises NetworkError.
        """

        def make(member: NodeRecord) -> list[AccountRequest]:
            retrieves = self._retrieves(keys, namespaces, last.get(member.ed25519, {}))
            return [*retrieves, *([self._extension(keys, extend)] if extend else [])]

        def read(
            answer: Answer, sent: Sequence[AccountRequest]
        ) -> tuple[NodeRecord, dict[int, RetrieveReply], frozenset[str]]:
            return answer.node, _pages(sent, answer), self._extended(sent, answer)

        member, pages, extended = await self._swarm.ask(keys.id.raw, make, read, only=node)
        found = {namespace: list(page.messages) for namespace, page in pages.items()}
        for _ in range(MAX_PAGES - 1):
            if sum(len(message.data) for messages in found.values() for message in messages) >= MAX_BYTES:
                break
            seen = {ns: page.messages[-1].hash for ns, page in pages.items() if page.more and page.messages}
            if not seen:
                break
            following = self._retrieves(keys, list(seen), seen)
            try:
                pages = await self._requests.to_node(member, following, partial(_pages, following))
            except NetworkError:
                break  # what came so far is good; the rest will still be there
            for namespace, page in pages.items():
                found[namespace].extend(page.messages)
        more = any(page.more and page.messages for page in pages.values())
        return Retrieved(member, {namespace: tuple(listed) for namespace, listed in found.items()}, more, extended)

    def _extension(self, keys: AccountKeys, hashes: Sequence[str]) -> Expire:
        expiry = self._now() + CONFIG_TTL_MS
        return sign(Expire(account=keys.id.raw, messages=tuple(hashes), expiry=(expiry,)), keys)

    def _extended(self, sent: Sequence[AccountRequest], answer: Answer) -> frozenset[str]:
        request = sent[-1]
        if not isinstance(request, Expire):
            return frozenset()
        reply = read_reply(request, answer.results[-1].body)
        found = receipts.vouched(request, reply, self._routing.listed)
        return frozenset(receipts.expired(found, request.messages).expiries)

    def _retrieves(self, keys: AccountKeys, namespaces: Sequence[int], last: Mapping[int, str]) -> list[Retrieve]:
        now = self._now()
        return [
            sign(
                Retrieve(
                    account=keys.id.raw,
                    namespace=namespace,
                    timestamp=now,
                    last_hash=last.get(namespace, ""),
                    max_size=max_size(namespace, namespaces),
                ),
                keys,
            )
            for namespace in namespaces
        ]

    async def poll(
        self,
        keys: AccountKeys,
        namespaces: Sequence[int],
        last: Mapping[bytes, Mapping[int, str]],
        *,
        extend: Sequence[str] = (),
    ) -> Polled:
        """Retrieve from two random members of our own swarm at once; one answer is enough.  `extend`: see `retrieve`.

        Raises NetworkError when neither answers.
        """

        async def ask(member: NodeRecord) -> Retrieved | NetworkError:
            try:
                return await self.retrieve(keys, namespaces, last, node=member, extend=extend)
            except NetworkError as error:
                return error

        members = await self._swarms.members(keys.id.raw)
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(ask(member), name="poll") for member in members[:POLLED]]
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            if any(isinstance(task.result(), Retrieved) for task in asking if task.done()):
                await asyncio.wait(asking, timeout=SECOND_POLL_GRACE)
                for task in asking:
                    task.cancel()
        outcomes = [task.result() for task in asking if not task.cancelled()]
        answers = [each for each in outcomes if isinstance(each, Retrieved)]
        if not answers:
            raise next(each for each in outcomes if isinstance(each, NetworkError))
        return Polled(tuple(answers), receipts.merge(keys.id.raw, answers))

    async def replace(self, keys: AccountKeys, items: Sequence[Item], obsolete: Sequence[str]) -> tuple[str, ...]:
        """Store `items` in our own mailbox and after that, if all were stored, delete the hashes `obsolete`.

        All in one request; returns the hashes of the items.  Raises CannotStore, NetworkError.
        """
        for item in items:
            check_storable(item.data, ttl_ms=item.ttl_ms, namespace=item.namespace, signed=True)
        expected = tuple(message_hash(keys.id.raw, item.namespace, item.data) for item in items)

        def make(_member: NodeRecord) -> list[AccountRequest]:
            now = self._now()
            stores: list[AccountRequest] = [
                sign(
                    Store(
                        account=keys.id.raw,
                        data=item.data,
                        timestamp=now,
                        expiry=now + item.ttl_ms,
                        namespace=item.namespace,
                    ),
                    keys,
                )
                for item in items
            ]
            deletes = [sign(Delete(account=keys.id.raw, messages=tuple(obsolete)), keys)] if obsolete else []
            return [*stores, *deletes]

        def read(answer: Answer, sent: Sequence[AccountRequest]) -> tuple[str, ...]:
            for request, result, name in zip(sent, answer.results, expected, strict=False):
                found = receipts.vouched(request, read_reply(request, result.body), self._routing.listed)
                if not receipts.stored_by(found, name)[0]:
                    raise ParseError("no node of the swarm confirms that it keeps the message")
            return expected

        return await self._swarm.ask(keys.id.raw, make, read, in_order=True)

    async def delete_all(self, keys: AccountKeys, *, only: NodeRecord | None = None) -> DeleteReceipt:
        """Delete everything in our own mailbox, in all namespaces; members without a valid signature have failed.

        With `only` no other member is asked to see to it.  Raises NetworkError.
        """

        def make(_member: NodeRecord) -> list[DeleteAll]:
            return [sign(DeleteAll(account=keys.id.raw, namespace=None, timestamp=self._now()), keys)]

        def read(answer: Answer, sent: Sequence[DeleteAll]) -> DeleteReceipt:
            return receipts.deleted_all(self._vouched(answer, sent))

        return await self._swarm.ask(keys.id.raw, make, read, only=only)

    async def delete(self, keys: AccountKeys, hashes: Sequence[str]) -> DeleteReceipt:
        """Delete messages from our own mailbox, whatever their namespaces.  Raises NetworkError."""

        def make(_member: NodeRecord) -> list[Delete]:
            return [sign(Delete(account=keys.id.raw, messages=tuple(hashes)), keys)]

        def read(answer: Answer, sent: Sequence[Delete]) -> DeleteReceipt:
            return receipts.deleted(self._vouched(answer, sent), hashes)

        return await self._swarm.ask(keys.id.raw, make, read)

    async def expire(
        self, keys: AccountKeys, hashes: Sequence[str], expiry: int, *, shorten: bool = False, extend: bool = False
    ) -> ExpireReceipt:
        """Set the expiry (Unix ms) of messages in our own mailbox; with a flag only if it becomes earlier or later.

        Raises NetworkError.
        """

        def make(_member: NodeRecord) -> list[Expire]:
            request = Expire(
                account=keys.id.raw, messages=tuple(hashes), expiry=(expiry,), shorten=shorten, extend=extend
            )
            return [sign(request, keys)]

        def read(answer: Answer, sent: Sequence[Expire]) -> ExpireReceipt:
            return receipts.expired(self._vouched(answer, sent), hashes)

        return await self._swarm.ask(keys.id.raw, make, read)

    def _vouched(self, answer: Answer, sent: Sequence[Delete | DeleteAll | Expire]) -> receipts.Vouched:
        found = receipts.vouched(sent[0], read_reply(sent[0], answer.results[0].body), self._routing.listed)
        if not found.signed:
            raise ParseError("no node of the swarm confirms the change")
        return found

    async def get_expiries(self, keys: AccountKeys, hashes: Sequence[str]) -> dict[str, int]:
        """Return the expiries (Unix ms) that one member has for messages of our own; unknown ones are left out.

        Raises NetworkError.
        """

        def make(_member: NodeRecord) -> list[GetExpiries]:
            request = GetExpiries(account=keys.id.raw, messages=tuple(hashes), timestamp=self._now())
            return [sign(request, keys)]

        def read(answer: Answer, sent: Sequence[GetExpiries]) -> dict[str, int]:
            known = read_reply(sent[0], answer.results[0].body).expiries
            return {name: known[name] for name in hashes if name in known}

        return await self._swarm.ask(keys.id.raw, make, read)


def check_storable(data: bytes, *, ttl_ms: int, namespace: int, signed: bool) -> None:
    """Raise CannotStore for a message that every node would refuse."""
    if len(data) > MAX_DATA:
        raise CannotStore(f"a message has at most {MAX_DATA} bytes, not {len(data)}", remedy="Send less at a time.")
    longest = max_ttl_ms(namespace)
    if not MIN_TTL_MS <= ttl_ms <= longest:
        raise CannotStore(f"a lifetime here is {MIN_TTL_MS} to {longest} ms, not {ttl_ms}")
    if not signed and not anyone_may_store(namespace):
        raise CannotStore("only the account itself stores in this namespace", remedy="Give the account's keys.")


def max_size(namespace: int, namespaces: Sequence[int]) -> int:
    """Return `max_size` for one namespace of a batch: −n, the n-th part of a reply, so that all fit; 0 if it is alone.

    Messages get one half, everything else shares the other.
    """
    if len(namespaces) == 1:
        return 0
    messages = sum(each in _MESSAGE_NAMESPACES for each in namespaces)
    others = len(namespaces) - messages
    if not messages or not others:
        return -len(namespaces)
    return -2 * (messages if namespace in _MESSAGE_NAMESPACES else others)


def _pages(sent: Sequence[AccountRequest], answer: Answer) -> dict[int, RetrieveReply]:
    """Read one page for each namespace.  Raises ParseError."""
    if any(of_node(result) for result in answer.results):
        raise ParseError("retrieve reply: an error in place of messages")
    return {
        request.namespace: read_reply(request, result.body)
        for request, result in zip(sent, answer.results, strict=True)
        if isinstance(request, Retrieve)
    }
