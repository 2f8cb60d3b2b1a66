"""The state of an account: every change is one transaction on its encrypted file.

Nothing that matters lives in an object: whoever is killed between two statements finds, on opening the
file again, either all of a change or nothing of it.  Several programs may have the same file open.

Here are the account itself, its outbox and how far its swarm was read; `configs` and `conversations` are the rest
of the file.  This module decides no policy: when to send, what to trust and how to read a message is known to the
outbox, the inbox, `intake` and `letters`.  Tables: see `schema`.
Spec: messaging.md §3.4 (identity of a message, dedup), §3.7 (positions).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import apsw

from ramson.crypto.account import ENTROPY_SIZE, AccountId, AccountKeys
from ramson.crypto.entropy import Entropy
from ramson.crypto.hashing import message_hash
from ramson.messenger import vault
from ramson.messenger.attached import Attached
from ramson.messenger.configs import Configs
from ramson.messenger.conversations import Conversations, Row
from ramson.messenger.database import Database
from ramson.messenger.letters import Outgoing
from ramson.messenger.message import Kind, Receipt, State
from ramson.messenger.schema import migrate
from ramson.messenger.told_profiles import ToldProfiles
from ramson.messenger.vault import Guard, KeyCost
from ramson.protocol.config import Contact
from ramson.protocol.content import DataExtraction, TextMessage, TimerUpdate

DAY_MS = 86_400_000
SEEN_KEPT_MS = 31 * DAY_MS  # no namespace keeps a message longer than 30 days

_RESTORING: Final = "restoring"
_WANTED_NAME: Final = "wanted name"
_CONTACTS_MISSING: Final = "contacts to be made"
_LAST_SENT: Final = "last_sent_ms"


@dataclass(frozen=True, slots=True)
class Parcel:
    """A sealed envelope in the outbox: what to store where, for how long."""

    id: int
    message: int | None
    recipient: AccountId
    namespace: int
    ttl_ms: int
    data: bytes = field(repr=False)
    attempts: int


@dataclass(frozen=True, slots=True)
class Position:
    """The hash up to which one node has been read in one namespace."""

    node: bytes
    namespace: int
    last_hash: str


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to be done in our own swarm: delete a message, shorten its life, or learn when it ends."""

    kind: str
    hash: str
    expiry: int = 0


class Store:
    """One open account file."""

    def __init__(self, connection: apsw.Connection, closed: Callable[[], object] = lambda: None) -> None:
        migrate(connection)
        self.db = Database(connection)
        self._at_end = closed
        self.closed = False
        (entropy,) = self.db.row("SELECT entropy FROM identity")
        self.keys = (
            AccountKeys.from_entropy(entropy) if len(entropy) == ENTROPY_SIZE else AccountKeys.from_seed(entropy)
        )
        self.configs = Configs(self.db, self.keys)
        self.conversations = Conversations(self.db, self.keys.id)
        self.attached = Attached(self.db)
        self.told_profiles = ToldProfiles(self.db, self.conversations)
        if self.db.get(_CONTACTS_MISSING):
            self._make_contacts()

    @staticmethod
    def create(
        path: Path,
        passphrase: str,
        keys: AccountKeys,
        *,
        name: str,
        now_ms: int,
        entropy: Entropy,
        cost: KeyCost,
        guard: Guard = Guard.PASSPHRASE,
        restored: bool = False,
        more: Callable[[Store], object] | None = None,
    ) -> None:
        """Make the file of an account, with what `more` puts into it; see `vault.create`."""
        fill = Store.filling(keys, name=name, now_ms=now_ms, restored=restored, more=more)
        vault.create(path, passphrase, fill, entropy=entropy, cost=cost, guard=guard)

    @staticmethod
    def filling(
        keys: AccountKeys,
        *,
        name: str,
        now_ms: int,
        restored: bool = False,
        more: Callable[[Store], object] | None = None,
    ) -> Callable[[apsw.Connection], None]:
        """Return what writes an account, with what `more` puts into it, into an empty database.

        The name of a `restored` account is only used if the account turns out to have none.
        """

        def fill(connection: apsw.Connection) -> None:
            migrate(connection)
            connection.execute("INSERT INTO identity VALUES (1, ?, ?, ?)", (keys.entropy, "", now_ms))
            store = Store(connection)
            with store.configs.changing():
                if name:
                    store.db.set(_WANTED_NAME, name)
                if restored:
                    store.db.set(_RESTORING, 1)
                else:
                    store.configs.profile.set_note_to_self_priority(-1)
                    store.use_wanted_name(now_ms)
            if more is not None:
                more(store)

        return fill

    @classmethod
    def open(cls, path: Path, passphrase: str, *, entropy: Entropy) -> Store:
        """Open the file of an account; see `vault.open_file`."""
        connection = vault.open_file(path, passphrase, entropy=entropy)
        try:
            return cls(connection, lambda: vault.level(path, entropy))
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self.db.close()
        self._at_end()
        self.closed = True

    # The account

    @property
    def name(self) -> str:
        """The display name; before the account's own is known, the one that was wished for."""
        return self.configs.profile.name or str(self.db.get(_WANTED_NAME, ""))

    @property
    def restoring(self) -> bool:
        """Whether the account was restored from its phrase and its configs have not been looked for yet."""
        return bool(self.db.get(_RESTORING, 0))

    @property
    def wants_name(self) -> bool:
        """Whether a name was wished for and it is not decided yet whether the account has one."""
        return self.db.get(_WANTED_NAME) is not None

    def restored(self, now_ms: int) -> None:
        """Note that the configs have been looked for; without a name among them the wished one is used."""
        with self.configs.changing():
            self.db.remove(_RESTORING)
            self.use_wanted_name(now_ms)

    def use_wanted_name(self, now_ms: int) -> None:
        """Let the name that was wished for be the account's if it has none.  Inside a transaction."""
        wanted = self.db.get(_WANTED_NAME)
        if wanted is None:
            return
        profile = self.configs.profile
        if not profile.name:
            profile.set_name_truncated(wanted)
            profile.set_picture(profile.picture, updated_s=self.configs.next_profile_time_s(now_ms))
        self.db.remove(_WANTED_NAME)

    def _make_contacts(self) -> None:
        """Make contacts of those with whom there were conversations before there were contacts."""
        with self.configs.changing():
            for peer in self.conversations.peers():
                messages = self.conversations.history(peer, 1_000_000)
                if peer == self.keys.id or not messages or self.configs.contact(peer) is not None:
                    continue
                self.configs.contacts.set(
                    Contact(
                        peer,
                        approved=any(not message.incoming for message in messages),
                        approved_me=any(message.incoming for message in messages),
                        created_s=messages[0].sent_ms // 1000,
                    )
                )
            self.db.remove(_CONTACTS_MISSING)

    # Sending

    def sent_time(self, now_ms: int) -> int:
        """Return the time of a message to be sent now: the sent times of an account rise strictly.

        Inside a transaction.
        """
        sent_ms = max(now_ms, int(self.db.get(_LAST_SENT, 0)) + 1)
        self.db.set(_LAST_SENT, sent_ms)
        return sent_ms

    def queue(
        self,
        conversation: AccountId,
        now_ms: int,
        write: Callable[[int], Outgoing],
        files: Sequence[tuple[int, int]] = (),
    ) -> int:
        """Put a message of our own into the outbox, and what people read also into its conversation.

        `write` is given the sent time, which is `now_ms` or later.  With `files`, each (id, place), it gets to the
        outbox when they are uploaded (`queue_sealed`).  Returns the message's id, or 0 for what is no part of a
        conversation.
        """
        with self.configs.changing():
            outgoing = write(self.sent_time(now_ms))
            row = _row_of(outgoing, conversation, self.keys.id)
            message = self.conversations.add(row) if row is not None else 0
            if files:
                self.attached.claim(message, files)
            else:
                self._post(outgoing, message or None)
        return message

    def queue_again(self, message: int, outgoing: Outgoing) -> None:
        """Put a message that failed into the outbox anew, or upload its files first.  Inside a transaction."""
        self.db.execute("UPDATE messages SET state = 'sending', reason = '' WHERE id = ?", (message,))
        if not self.attached.urls(message):
            self._post(outgoing, message)

    def queue_sealed(self, message: int, outgoing: Outgoing) -> None:
        """Put a message into the outbox whose files are all uploaded.  Inside a transaction."""
        self.db.execute("UPDATE messages SET content = ? WHERE id = ?", (outgoing.content, message))
        self.attached.done(message)
        self._post(outgoing, message)

    def upload_went(self, message: int, reason: str) -> None:
        """Note why an upload failed that will be repeated; empty after a success.  Inside a transaction."""
        self.db.execute("UPDATE messages SET reason = ? WHERE id = ? AND state = 'sending'", (reason, message))

    def fail(self, message: int, reason: str) -> None:
        """Note that no retry can help a message.  Inside a transaction."""
        self.db.execute(
            "UPDATE messages SET state = 'failed', reason = ? WHERE id = ? AND state = 'sending'", (reason, message)
        )

    def _post(self, outgoing: Outgoing, message: int | None) -> None:
        leader: int | None = None
        for letter in outgoing.sealed:
            if letter.recipient == self.keys.id:
                # It is here.  Fetched, it would bring back what was deleted or has disappeared meanwhile.
                name = message_hash(letter.recipient.raw, letter.namespace, letter.data)
                self.note_read([name], [], outgoing.message.sent_ms)
            number = self.db.value(
                "INSERT INTO outbox (message, recipient, namespace, ttl_ms, data, leader) VALUES (?, ?, ?, ?, ?, ?)"
                " RETURNING id",
                (
                    message,
                    letter.recipient.raw,
                    letter.namespace,
                    letter.ttl_ms,
                    letter.data,
                    leader if letter.is_copy else None,
                ),
            )
            leader = leader or number

    def recipients(self) -> list[AccountId]:
        """Return everyone for whom something waits in the outbox, the longest waiting first."""
        rows = self.db.rows("SELECT recipient FROM outbox WHERE leader IS NULL GROUP BY recipient ORDER BY min(id)")
        return [AccountId.from_bytes(raw) for (raw,) in rows]

    def next_parcel(self, recipient: AccountId) -> Parcel | None:
        """Return what must go to `recipient` before anything else may."""
        row = self.db.first(
            "SELECT id, message, namespace, ttl_ms, data, attempts FROM outbox"
            " WHERE recipient = ? AND leader IS NULL ORDER BY id LIMIT 1",
            (recipient.raw,),
        )
        if row is None:
            return None
        number, message, namespace, ttl_ms, data, attempts = row
        return Parcel(number, message, recipient, namespace, ttl_ms, data, attempts)

    def still_waiting(self, parcel: Parcel) -> bool:
        """Tell whether a parcel is still in the outbox: its message may have been taken back."""
        return self.db.first("SELECT 1 FROM outbox WHERE id = ?", (parcel.id,)) is not None

    def parcel_stored(
        self,
        parcel: Parcel,
        *,
        hash: str,  # noqa: A002 - its name
        stored: int,
        total: int,
        at_ms: int,
    ) -> Receipt | None:
        """Note that a parcel was put in its swarm at `at_ms`: take it out of the outbox and let its copies go.

        If its message disappears, its time begins now: its writer has read it.  Returns the message's receipt if this
        settles it.
        """
        with self.db.transaction():
            if not self._take_out(parcel):
                return None
            self.db.execute("UPDATE outbox SET leader = NULL WHERE leader = ?", (parcel.id,))
            settled = self.db.execute(
                "UPDATE messages SET state = 'sent', reason = '', hash = ?, stored = ?, total = ?,"
                " expires_ms = CASE WHEN mode > 0 AND timer_s > 0 THEN coalesce(expires_ms, ? + timer_s * 1000) END"
                " WHERE id = ? AND state = 'sending'",
                (hash, stored, total, at_ms, parcel.message),
            )
            if parcel.recipient == self.keys.id:
                self.db.execute("UPDATE messages SET own_hash = ? WHERE id = ?", (hash, parcel.message))
            return self.receipt(parcel.message) if settled and parcel.message is not None else None

    def parcel_refused(self, parcel: Parcel, reason: str) -> Receipt | None:
        """Note that no retry can help a parcel: take it out of the outbox, with the copies that wait for it.

        Returns the message's receipt if this settles it.
        """
        with self.db.transaction():
            if not self._take_out(parcel):
                return None
            self.db.execute("DELETE FROM outbox WHERE leader = ?", (parcel.id,))
            settled = self.db.execute(
                "UPDATE messages SET state = 'failed', reason = ? WHERE id = ? AND state = 'sending'",
                (reason, parcel.message),
            )
            return self.receipt(parcel.message) if settled and parcel.message is not None else None

    def parcel_delayed(self, parcel: Parcel, reason: str) -> None:
        """Note why an attempt failed that will be repeated."""
        with self.db.transaction():
            self.db.execute("UPDATE outbox SET attempts = attempts + 1 WHERE id = ?", (parcel.id,))
            self.db.execute(
                "UPDATE messages SET reason = ? WHERE id = ? AND state = 'sending'", (reason, parcel.message)
            )

    def receipt(self, message: int) -> Receipt:
        """Return what is known of one of our own messages, by its id."""
        row = self.db.first(
            "SELECT state, sent_ms, hash, stored, total, reason,"
            " coalesce((SELECT sum(attempts) FROM outbox WHERE outbox.message = messages.id), 0),"
            " coalesce((SELECT sum(CASE WHEN blob IS NULL THEN size ELSE sent END) FROM files"
            " WHERE files.message = messages.id), 0),"
            " coalesce((SELECT sum(size) FROM files WHERE files.message = messages.id), 0)"
            " FROM messages WHERE id = ?",
            (message,),
        )
        if row is None:
            return Receipt(State.FAILED, 0, reason="the message was deleted", id=message)
        state, sent_ms, name, stored, total, reason, attempts, uploaded, to_upload = row
        return Receipt(
            State(state),
            sent_ms,
            name,
            stored,
            total,
            attempts,
            reason,
            message,
            uploaded=uploaded,
            to_upload=to_upload,
        )

    def waiting(self) -> int:
        """Return how many of our messages have not reached their recipient's swarm yet."""
        return int(self.db.value("SELECT count(*) FROM messages WHERE state = 'sending'"))

    # Receiving

    def positions(self) -> dict[bytes, dict[int, str]]:
        """Return how far every node has been read: node → namespace → last hash."""
        found: dict[bytes, dict[int, str]] = {}
        for node, namespace, last_hash in self.db.rows("SELECT node, namespace, last_hash FROM positions"):
            found.setdefault(node, {})[namespace] = last_hash
        return found

    def unseen(self, hashes: Collection[str]) -> set[str]:
        """Return those of `hashes` that were never received."""
        return {name for name in hashes if self.db.first("SELECT 1 FROM seen WHERE hash = ?", (name,)) is None}

    def note_read(self, seen: Collection[str], positions: Sequence[Position], now_ms: int) -> None:
        """Note hashes of what was fetched, also of what could not be read, and how far nodes were read.

        In the transaction that takes in the messages.
        """
        self.db.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", ((name, now_ms) for name in seen))
        self.db.executemany(
            "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
            ((position.node, position.namespace, position.last_hash) for position in positions),
        )

    def forget_seen(self, now_ms: int) -> None:
        """Drop the hashes of what no swarm can hold any more, and what was noted for messages that never came."""
        with self.db.transaction():
            self.db.execute("DELETE FROM seen WHERE seen_ms < ?", (now_ms - SEEN_KEPT_MS,))
            self.conversations.forget(now_ms - SEEN_KEPT_MS)

    # Our own swarm

    def add_chore(self, chore: Chore) -> None:
        """Put something on the list of what is to be done.  Inside a transaction."""
        self.db.execute(
            "INSERT INTO chores (kind, hash, expiry) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET expiry = min(expiry, excluded.expiry)",
            (chore.kind, chore.hash, chore.expiry),
        )

    def chores(self, limit: int) -> list[Chore]:
        """Return what is to be done, the oldest first."""
        rows = self.db.rows("SELECT kind, hash, expiry FROM chores ORDER BY id LIMIT ?", (limit,))
        return [Chore(kind, name, expiry) for kind, name, expiry in rows]

    def chores_done(self, chores: Sequence[Chore]) -> None:
        """Strike out what was done.  Inside a transaction."""
        self.db.executemany(
            "DELETE FROM chores WHERE kind = ? AND hash = ?", [(chore.kind, chore.hash) for chore in chores]
        )

    # Single values

    def load(self, key: str) -> bytes | None:
        """Return what `save` was given under this key."""
        value = self.db.get(key)
        return None if value is None else bytes(value)

    def save(self, key: str, value: bytes) -> None:
        """Keep `value` under `key`."""
        with self.db.transaction():
            self.db.set(key, value)

    def setting(self, name: str) -> bool:
        """Return a setting that is on or off; off unless it was set."""
        return bool(self.db.get(f"setting {name}", 0))

    def set_setting(self, name: str, *, on: bool) -> None:
        """Change a setting."""
        with self.db.transaction():
            self.db.set(f"setting {name}", int(on))

    def _take_out(self, parcel: Parcel) -> bool:
        return self.db.execute("DELETE FROM outbox WHERE id = ?", (parcel.id,)) == 1


def _row_of(outgoing: Outgoing, conversation: AccountId, own: AccountId) -> Row | None:
    """Return what stands in the conversation for a message of our own."""
    match outgoing.message:
        case TextMessage(body=body, attachments=attachments, expiration=expiration):
            kind = Kind.TEXT
        case TimerUpdate(expiration=expiration):
            kind, body, attachments = Kind.TIMER, "", ()
        case DataExtraction(expiration=expiration, what=what):
            kind, body, attachments = (Kind.SCREENSHOT, Kind.MEDIA_SAVED)[what - 1], "", ()
        case _:
            return None
    return Row(
        conversation,
        own,
        outgoing.message.sent_ms,
        State.SENDING,
        kind,
        body,
        content=outgoing.content,
        attachments=len(attachments),
        expiration=expiration,
    )
