"""Subscriptions: who is told of new messages of which accounts, and telling them.

Clients ask with `monitor.messages`; after each new message that a client stored, the service calls `notify`.
It keeps no messages and owns no connections: pushes go through a function it is given.
Spec: storage-rpc.md §6, node/CORRECTIONS.md.

Theory of operation.  A subscription belongs to a connection, an account and a signer (the owner, or one token), and
lasts 65 minutes; asking again merges namespaces, keeps the wish for data, and starts the time anew.  A request is
read whole before anything is done.  An account of another swarm is refused (errcode 6), and a revoked token gets
nothing, neither now nor later.  A connection that is gone is forgotten with the first push that fails.

Everything is bounded: subscriptions in all, for a connection, an address and an account (each new message costs as many
looks), and namespaces, which take the memory.  Long lists share one slice of signatures a turn of the event loop, in
the order they came, however many lists there are; and an address may have few of them waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final

from ramson.crypto.keys import to_x25519_public, verify
from ramson.errors import ParseError, RemoteError
from ramson.node.auth import IsRevoked, token_rights
from ramson.node.mailbox import MailboxError, NewMessage
from ramson.protocol import bt
from ramson.protocol.monitor import LIFETIME, NOTICE, signed_message
from ramson.protocol.namespaces import MAX_NAMESPACE, MIN_NAMESPACE, revoked_may_read
from ramson.protocol.storage import Access, Subaccount
from ramson.protocol.storage.limits import ACCOUNT_SIZE, SESSION_PREFIX, TOKEN_SIZE
from ramson.world import Clock, Origin
from ramson.world.callers import caller

log = logging.getLogger(__name__)

# spec gap: no limits are given
MAX_LIST: Final = 10_000  # subscriptions asked for in one request
MAX_PER_CONNECTION: Final = 20_000
MAX_PER_CALLER: Final = 25_000  # of one IPv4 address or IPv6 /64: those who notify phones ask for very many
MAX_PER_ACCOUNT: Final = 1_000
MAX_SUBSCRIPTIONS: Final = 100_000
MAX_NAMESPACES: Final = 256  # of one subscription
MAX_NAMESPACES_IN_ALL: Final = 1_000_000
MAX_LISTS: Final = 4  # long lists of one caller that wait to be answered
SWEEP_SECONDS: Final = 10.0  # between two sweeps that a full house causes

_SLICE: Final = 20  # signatures checked before others get their turn
_DAY_SECONDS: Final = 24 * 60 * 60
_OLDEST: Final = 14 * _DAY_SECONDS
_NEWEST: Final = 1 * _DAY_SECONDS

Push = Callable[[Origin, str, list[bytes]], bool]


class Errcode(IntEnum):
    """What the reply says was wrong."""

    ARGUMENTS = 1
    PUBKEY = 2
    NAMESPACES = 3
    TIME = 4
    SIGNATURE = 5
    WRONG_SWARM = 6


class _Refused(RemoteError):
    """One subscription is refused."""

    def __init__(self, errcode: Errcode, text: str) -> None:
        super().__init__(text)
        self.errcode = errcode


@dataclass(frozen=True, slots=True)
class _Wish:
    """A subscription as it was asked for: every field is well-formed, nothing is verified."""

    account: bytes
    owner: bytes
    namespaces: tuple[int, ...]
    data: bool
    signed_at: int  # Unix seconds
    signature: bytes
    subaccount: Subaccount | None

    @property
    def token(self) -> bytes | None:
        """The token of the subaccount that signed."""
        return None if self.subaccount is None else self.subaccount.token

    def signed_message(self) -> bytes:
        """Return what is signed."""
        return signed_message(self.account, self.namespaces, self.signed_at, data=self.data)


@dataclass(slots=True)
class _Subscription:
    until: float
    data: bool = False
    namespaces: set[int] = field(default_factory=set)


class Monitor:
    """The subscriptions of one node.

    `push` sends a command back along a connection and tells whether that is still there; `owns` tells whether this
    node keeps an account's messages; `is_revoked` asks the mailbox about a token.
    """

    def __init__(self, *, clock: Clock, push: Push, owns: Callable[[bytes], bool], is_revoked: IsRevoked) -> None:
        self._clock = clock
        self._push = push
        self._owns = owns
        self._is_revoked = is_revoked
        self._by_account: dict[bytes, dict[tuple[Origin, bytes | None], _Subscription]] = {}
        self._by_origin: dict[Origin, set[tuple[bytes, bytes | None]]] = {}
        self._by_caller: Counter[str] = Counter()
        self._count = 0
        self._namespaces = 0
        self._lists: Counter[str] = Counter()
        self._turn = asyncio.Lock()
        self._swept = -SWEEP_SECONDS

    def __len__(self) -> int:
        return self._count

    # ---- asking

    def subscribe(self, origin: Origin, parts: list[bytes]) -> list[bytes] | Awaitable[list[bytes]]:
        """Answer `monitor.messages`: one part, a bencoded dict or a list of them.

        A long list is answered in slices, so that others get their turn.
        """
        try:
            wanted = _read(parts)
        except _Refused as refused:
            return [bt.encode(_refusal(refused))]
        if isinstance(wanted, dict):
            return [bt.encode(self._answer(origin, wanted))]
        if len(wanted) <= _SLICE:
            return [bt.encode([self._answer(origin, one) for one in wanted])]
        if self._lists[caller(origin.address)] >= MAX_LISTS:
            return self.refuse("too many lists at once")
        return self._answer_slowly(origin, wanted)

    def refuse(self, text: str) -> list[bytes]:
        """Answer a request that is not read."""
        return [bt.encode(_refusal(_Refused(Errcode.ARGUMENTS, text)))]

    async def _answer_slowly(self, origin: Origin, wanted: list[dict[bytes, Any]]) -> list[bytes]:
        who = caller(origin.address)
        self._lists[who] += 1
        try:
            answers = []
            for start in range(0, len(wanted), _SLICE):
                async with self._turn:
                    answers += [self._answer(origin, one) for one in wanted[start : start + _SLICE]]
                    await asyncio.sleep(0)
            return [bt.encode(answers)]
        finally:
            self._lists[who] -= 1
            if not self._lists[who]:
                del self._lists[who]

    def _answer(self, origin: Origin, document: dict[bytes, Any]) -> dict[str, Any]:
        try:
            wish = _read_wish(document)
            self._verify(wish)
            self._keep(origin, wish)
        except _Refused as refused:
            return _refusal(refused)
        return {"success": 1}

    def _verify(self, wish: _Wish) -> None:
        now = self._clock.now() // 1000
        if not now - _OLDEST <= wish.signed_at <= now + _NEWEST:
            raise _Refused(Errcode.TIME, "the signature's time is too old or in the future")
        if not self._owns(wish.account):
            raise _Refused(Errcode.WRONG_SWARM, "the account belongs to another swarm")
        key = wish.owner
        if wish.subaccount is not None:
            key = wish.subaccount.key
            if not token_rights(wish.account, wish.owner, wish.subaccount) & Access.READ:
                raise _Refused(Errcode.SIGNATURE, "the subaccount token does not allow reading")
            if not all(map(revoked_may_read, wish.namespaces)) and self._revoked(wish.account, wish.subaccount.token):
                raise _Refused(Errcode.SIGNATURE, "the subaccount token is revoked")
        if not verify(key, wish.signed_message(), wish.signature):
            raise _Refused(Errcode.SIGNATURE, "signature verification failed")

    def _revoked(self, account: bytes, token: bytes) -> bool:
        try:
            return self._is_revoked(account, token)
        except MailboxError:
            log.warning("revocation unknown: the mailbox cannot be read")
            return True

    def _keep(self, origin: Origin, wish: _Wish) -> None:
        now = self._clock.monotonic()
        key = (origin, wish.token)
        subscription = self._by_account.get(wish.account, {}).get(key)
        if subscription is not None and subscription.until < now:
            self._forget(origin, [(wish.account, wish.token)])
            subscription = None
        known: set[int] = set() if subscription is None else subscription.namespaces
        wanted = known.union(wish.namespaces)
        added = len(wanted) - len(known)
        if not self._has_room(added) and now - self._swept >= SWEEP_SECONDS:
            self._swept = now
            self.sweep()
        if len(wanted) > MAX_NAMESPACES or self._namespaces + added > MAX_NAMESPACES_IN_ALL:
            raise _Refused(Errcode.ARGUMENTS, "too many namespaces")
        if subscription is None:
            if not self._has_room(added) or self._is_greedy(origin, wish.account):
                raise _Refused(Errcode.ARGUMENTS, "too many subscriptions")
            subscription = _Subscription(now)
            self._by_account.setdefault(wish.account, {})[key] = subscription
            self._by_origin.setdefault(origin, set()).add((wish.account, wish.token))
            self._by_caller[caller(origin.address)] += 1
            self._count += 1
        self._namespaces += added
        subscription.until = now + LIFETIME
        subscription.data |= wish.data
        subscription.namespaces = wanted

    def _has_room(self, namespaces: int) -> bool:
        return self._count < MAX_SUBSCRIPTIONS and self._namespaces + namespaces <= MAX_NAMESPACES_IN_ALL

    def _is_greedy(self, origin: Origin, account: bytes) -> bool:
        return (
            len(self._by_origin.get(origin, ())) >= MAX_PER_CONNECTION
            or self._by_caller[caller(origin.address)] >= MAX_PER_CALLER
            or len(self._by_account.get(account, ())) >= MAX_PER_ACCOUNT
        )

    # ---- telling

    def notify(self, message: NewMessage) -> None:
        """Tell everybody who wants to know of a new message."""
        subscriptions = self._by_account.get(message.account)
        if subscriptions is None:
            return
        now = self._clock.monotonic()
        wanted: dict[Origin, bool] = {}
        for (origin, token), subscription in list(subscriptions.items()):
            if subscription.until < now:
                self._forget(origin, [(message.account, token)])
            elif message.namespace in subscription.namespaces:
                if token is None or revoked_may_read(message.namespace) or not self._revoked(message.account, token):
                    wanted[origin] = wanted.get(origin, False) or subscription.data
                else:
                    self._forget(origin, [(message.account, token)])
        for origin, data in wanted.items():
            if not self._push(origin, NOTICE, [encode_notice(message, data=data)]):
                self.drop(origin)

    def drop(self, origin: Origin) -> None:
        """Forget a connection."""
        self._forget(origin, list(self._by_origin.get(origin, ())))

    def sweep(self) -> int:
        """Forget what has run out; return how many subscriptions that were."""
        now = self._clock.monotonic()
        before = self._count
        for account, subscriptions in list(self._by_account.items()):
            for (origin, token), subscription in list(subscriptions.items()):
                if subscription.until < now:
                    self._forget(origin, [(account, token)])
        return before - self._count

    def _forget(self, origin: Origin, keys: Iterable[tuple[bytes, bytes | None]]) -> None:
        for account, token in keys:
            subscriptions = self._by_account[account]
            self._namespaces -= len(subscriptions.pop((origin, token)).namespaces)
            if not subscriptions:
                del self._by_account[account]
            mine = self._by_origin[origin]
            mine.discard((account, token))
            if not mine:
                del self._by_origin[origin]
            who = caller(origin.address)
            self._by_caller[who] -= 1
            if not self._by_caller[who]:
                del self._by_caller[who]
            self._count -= 1


def encode_notice(message: NewMessage, *, data: bool) -> bytes:
    """Write what is pushed about a message: account, hash, namespace, times, and (`data`) the message itself."""
    notice: dict[str, Any] = {
        "@": message.account,
        "h": message.hash,
        "n": message.namespace,
        "t": message.timestamp,
        "z": message.expiry,
    }
    if data:
        notice["~"] = message.data
    return bt.encode(notice)


def _refusal(refused: _Refused) -> dict[str, Any]:
    return {"errcode": int(refused.errcode), "error": str(refused)}


def _read(parts: list[bytes]) -> dict[bytes, Any] | list[dict[bytes, Any]]:
    if len(parts) != 1:
        raise _Refused(Errcode.ARGUMENTS, "expected one part")
    try:
        document = bt.decode(parts[0])
    except ParseError as error:
        raise _Refused(Errcode.ARGUMENTS, str(error)) from None
    if isinstance(document, dict):
        return document
    if not isinstance(document, list):
        raise _Refused(Errcode.ARGUMENTS, "expected a dict or a list of dicts")
    wanted = [one for one in document if isinstance(one, dict)]
    if len(wanted) < len(document) or len(wanted) > MAX_LIST:
        raise _Refused(Errcode.ARGUMENTS, f"expected a list of at most {MAX_LIST} dicts")
    return wanted


def _read_wish(document: dict[bytes, Any]) -> _Wish:
    account, owner = _account(document)
    namespaces = document.get(b"n")
    if (
        not isinstance(namespaces, list)
        or not namespaces
        or not all(isinstance(n, int) and MIN_NAMESPACE <= n <= MAX_NAMESPACE for n in namespaces)
    ):
        raise _Refused(Errcode.ARGUMENTS, "`n` must be a list of namespaces")
    if any(second <= first for first, second in pairwise(namespaces)):
        raise _Refused(Errcode.NAMESPACES, "`n` must be in ascending order, without duplicates")
    signed_at = document.get(b"t")
    if not isinstance(signed_at, int):
        raise _Refused(Errcode.ARGUMENTS, "`t` must be a time in seconds")
    data = document.get(b"d", 0)
    if data not in (0, 1):
        raise _Refused(Errcode.ARGUMENTS, "`d` must be 0 or 1")
    signature = document.get(b"s")
    if not isinstance(signature, bytes):
        raise _Refused(Errcode.ARGUMENTS, "`s` must be a signature")
    return _Wish(
        account=account,
        owner=owner,
        namespaces=tuple(namespaces),
        data=data == 1,
        signed_at=signed_at,
        signature=signature,
        subaccount=_subaccount(document),
    )


def _account(document: dict[bytes, Any]) -> tuple[bytes, bytes]:
    """Return the account (33 bytes) and its owner's Ed25519 key."""
    account, session = document.get(b"p"), document.get(b"P")
    given = account if session is None else session
    if (account is None) is (session is None) or not isinstance(given, bytes):
        raise _Refused(Errcode.ARGUMENTS, "expected one of `p` and `P`")
    if session is None:
        if len(given) != ACCOUNT_SIZE or given[0] == SESSION_PREFIX:
            raise _Refused(Errcode.PUBKEY, "`p` must be an account of 33 bytes, other than 05…")
        return given, given[1:]
    try:
        return bytes([SESSION_PREFIX]) + to_x25519_public(given), given
    except ParseError:
        raise _Refused(Errcode.PUBKEY, "`P` must be an Ed25519 key") from None


def _subaccount(document: dict[bytes, Any]) -> Subaccount | None:
    token, signature = document.get(b"T"), document.get(b"S")
    if token is None and signature is None:
        return None
    if not isinstance(token, bytes) or not isinstance(signature, bytes):
        raise _Refused(Errcode.ARGUMENTS, "`S` and `T` belong together")
    if len(token) != TOKEN_SIZE:
        raise _Refused(Errcode.SIGNATURE, f"`T` must be a token of {TOKEN_SIZE} bytes")
    return Subaccount(token, signature)
