"""Carrying out a recursive request on this node's own mailbox, and reporting it as a member of the swarm.

The request has been admitted; nothing is checked again.  What makes less of messages is kept beside what it did, for
members that missed it (`swarm.proofs`).  A database that refuses is reported, not raised.
Spec: storage-rpc.md §4 *Per-member entries*, node/CORRECTIONS.md.
"""

from __future__ import annotations

from functools import partial

from ramson.crypto.hashing import message_hash
from ramson.crypto.keys import Ed25519KeyPair
from ramson.node.counters import Counters
from ramson.node.mailbox import ExpireMode, Mailbox, MailboxError, NewMessage
from ramson.node.monitor import Monitor
from ramson.node.swarm import proofs
from ramson.protocol.namespaces import is_public_outbox
from ramson.protocol.storage import (
    AccountRequest,
    Delete,
    DeleteAll,
    DeleteBefore,
    DeletedEntry,
    Entry,
    Expire,
    ExpireAll,
    ExpireEntry,
    Failed,
    Report,
    RevokedEntry,
    RevokeSubaccount,
    Signed,
    Store,
    StoreEntry,
    UnrevokedEntry,
    UnrevokeSubaccount,
    UpdatedEntry,
)
from ramson.protocol.storage.entries import Hashes
from ramson.protocol.storage.limits import MAX_EXPIRE_MS


class LocalMember:
    """This node as a member of its swarm: it signs with `signer` what became of a request."""

    def __init__(
        self, mailbox: Mailbox, monitor: Monitor, signer: Ed25519KeyPair, counters: Counters | None = None
    ) -> None:
        self._mailbox = mailbox
        self._counters = counters or Counters()
        self._monitor = monitor
        self._signer = signer

    async def carry_out(self, request: AccountRequest, now: int) -> Report:
        """Change the mailbox and report.  `now` is the node's time in ms."""
        try:
            entry = await self._change(request, now)
        except MailboxError as error:
            self._counters.store_failures += isinstance(request, Store)
            return Failed(query_failure=True, reason=str(error))
        return Signed(entry, self._signer.sign(entry.signed_message(request)))

    async def _change(self, request: AccountRequest, now: int) -> Entry:
        mailbox, account = self._mailbox, request.account
        proof = partial(proofs.write, request)
        match request:
            case Store():
                return await self._store(request)
            case Delete():
                return DeletedEntry(hashes=tuple(await mailbox.delete(account, request.messages, proof=proof())))
            case DeleteAll():
                deleted = await mailbox.delete_all(account, request.namespace, proof=proof())
                return DeletedEntry(hashes=_listed(deleted, request.namespace))
            case DeleteBefore():
                before = request.before
                deleted = await mailbox.delete_before(account, request.namespace, before, proof=proof())
                return DeletedEntry(hashes=_listed(deleted, request.namespace))
            case ExpireAll():
                lowered = await mailbox.expire_all(account, request.namespace, request.expiry, proof=proof())
                return UpdatedEntry(hashes=_listed(lowered, request.namespace))
            case Expire():
                return await self._expire(request, now)
            case RevokeSubaccount():
                await mailbox.revoke(account, request.tokens, signed_at=request.timestamp, proof=proof())
                return RevokedEntry()
            case UnrevokeSubaccount():
                signed_at = request.timestamp
                count = await mailbox.unrevoke(account, request.tokens, signed_at=signed_at, proof=proof())
                return UnrevokedEntry(count=count)
            case _:
                raise TypeError(f"{request.method.name} is not carried out by swarms")

    async def _store(self, request: Store) -> StoreEntry:
        message = NewMessage(
            account=request.account,
            namespace=request.namespace,
            hash=message_hash(request.account, request.namespace, request.data),
            timestamp=request.timestamp,
            expiry=request.expiry,
            data=request.data,
        )
        if is_public_outbox(message.namespace):
            stored = await self._mailbox.store(message, proof=proofs.write(request))
        else:
            stored = await self._mailbox.store(message)
        if stored.new:
            self._counters.stored += 1
            self._monitor.notify(message)
        else:
            self._counters.stored_again += 1
        return StoreEntry(hash=message.hash, expiry=stored.expiry, already=not stored.new)

    async def _expire(self, request: Expire, now: int) -> ExpireEntry:
        expiries = [min(expiry, now + MAX_EXPIRE_MS) for expiry in request.expiry]
        if len(expiries) == 1:
            expiries *= len(request.messages)
        mode = ExpireMode.SHORTEN if request.shorten else ExpireMode.EXTEND if request.extend else ExpireMode.SET
        changes = list(zip(request.messages, expiries, strict=True))
        changed = await self._mailbox.expire(request.account, changes, mode, proof=proofs.write(request))
        updated = tuple(sorted(changed.updated))
        return ExpireEntry(
            updated=updated,
            expiry=expiries[0] if len(request.expiry) == 1 else tuple([changed.updated[name] for name in updated]),
            unchanged=None if mode is ExpireMode.SET else changed.unchanged,
        )


def _listed(found: dict[int, list[str]], namespace: int | None) -> Hashes:
    """Give the hashes of one namespace as a list, those of all by namespace."""
    if namespace is None:
        return {key: tuple(hashes) for key, hashes in found.items()}
    return tuple(found.get(namespace, ()))
