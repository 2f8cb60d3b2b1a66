"""The messages of an account file: rows in, values out.

Every method that changes something is to be called inside a transaction.  What may be believed, and what follows
from it, is decided by `intake` and `actions`.  Tables: see `schema`.
Spec: messaging.md §3.4, §3.6.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ramson.crypto.account import AccountId
from ramson.errors import ParseError
from ramson.messenger.database import Database
from ramson.messenger.message import Attachment, FileState, Kind, Message, Reaction, State
from ramson.protocol import content
from ramson.protocol.content import NEVER, Expiration, ExpirationMode, ReactionChange, TextMessage

_COLUMNS: Final = (
    "m.id, m.author, c.peer, m.kind, m.body, m.sent_ms, m.hash, m.state, m.content, m.read, m.mode, m.timer_s,"
    " m.expires_ms, c.last_read_ms"
)
_ALL: Final = 2**63 - 1  # more than there are
_FROM: Final = "messages m JOIN conversations c ON c.id = m.conversation"


@dataclass(frozen=True, slots=True)
class Row:
    """A message to be written down.  `hash` and `own_hash`: see `schema`."""

    conversation: AccountId
    author: AccountId
    sent_ms: int
    state: State
    kind: Kind = Kind.TEXT
    body: str = field(default="", repr=False)
    detail: str = ""
    content: bytes = field(default=b"", repr=False)
    attachments: int = 0
    hash: str | None = None
    own_hash: str | None = None
    expiration: Expiration = NEVER
    expires_ms: int | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What is needed of a message to change it."""

    id: int
    conversation: AccountId
    own_hash: str | None
    kind: Kind
    state: State


class Conversations:
    """The conversations of the account `own`."""

    def __init__(self, database: Database, own: AccountId) -> None:
        self._db = database
        self._own = own

    # Writing

    def add(self, row: Row) -> int:
        """Write a message down; return its id, or 0 if (author, sent time) is known in its conversation.

        The second time tells where our own message is in our own swarm, and nothing else.
        """
        values = (
            self.number(row.conversation),
            row.author.raw,
            row.sent_ms,
            row.body,
            row.attachments,
            row.content,
            row.hash,
            row.state,
            row.author == self._own,
            row.kind,
            row.detail,
            row.own_hash,
            row.held,
            row.expiration.mode,
            row.expiration.timer_s,
            row.expires_ms,
            row.author == self._own and self._has_receipt(row),
        )
        added = self._db.first(
            "INSERT INTO messages (conversation, author, sent_ms, body, attachments, content, hash, state, delivered,"
            " kind, detail, own_hash, held, mode, timer_s, expires_ms, read)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            values,
        )
        if added is not None:
            return int(added[0])
        if row.own_hash is not None:
            self._db.execute(
                "UPDATE messages SET own_hash = coalesce(own_hash, ?)"
                " WHERE author = ? AND sent_ms = ? AND conversation = ?",
                (row.own_hash, row.author.raw, row.sent_ms, values[0]),
            )
        return 0

    def _has_receipt(self, row: Row) -> bool:
        taken = self._db.execute(
            "DELETE FROM receipts WHERE sent_ms = ? AND conversation = (SELECT id FROM conversations WHERE peer = ?)",
            (row.sent_ms, row.conversation.raw),
        )
        return taken > 0

    def number(self, peer: AccountId) -> int:
        """Return the id of a conversation, which is made if there is none."""
        self._db.execute("INSERT OR IGNORE INTO conversations (peer) VALUES (?)", (peer.raw,))
        return int(self._db.value("SELECT id FROM conversations WHERE peer = ?", (peer.raw,)))

    def find(self, author: AccountId, sent_ms: int, conversation: AccountId | None = None) -> Found | None:
        """Return a message by its author and sent time, in any conversation unless one is given."""
        row = self._db.first(
            f"SELECT m.id, c.peer, m.own_hash, m.kind, m.state FROM {_FROM}"  # noqa: S608 - a constant
            " WHERE m.author = ? AND m.sent_ms = ? AND (? IS NULL OR c.peer = ?)",
            (author.raw, sent_ms, *[None if conversation is None else conversation.raw] * 2),
        )
        return None if row is None else Found(row[0], AccountId.from_bytes(row[1]), row[2], Kind(row[3]), State(row[4]))

    def has_call(self, peer: AccountId, call_id: str) -> bool:
        """Tell whether a call was noted already."""
        query = f"SELECT 1 FROM {_FROM} WHERE c.peer = ? AND m.kind = ? AND m.detail = ?"  # noqa: S608 - a constant
        return self._db.first(query, (peer.raw, Kind.MISSED_CALL, call_id)) is not None

    def unsend(self, message: Found) -> None:
        """Let a stub stand where the message was; a note to oneself goes wholly."""
        if message.conversation == self._own:
            self.remove([message.id])
            return
        self._forget_reactions([message.id])
        self._db.execute(
            "UPDATE messages SET kind = ?, body = '', content = x'', attachments = 0, detail = '', delivered = 1"
            " WHERE id = ?",
            (Kind.DELETED, message.id),
        )

    def note_unsent(self, author: AccountId, sent_ms: int, now_ms: int) -> None:
        """Remember that a message was taken back which may still come."""
        self._db.execute("INSERT OR IGNORE INTO unsent VALUES (?, ?, ?)", (author.raw, sent_ms, now_ms))

    def is_unsent(self, author: AccountId, sent_ms: int) -> bool:
        """Tell whether a message was taken back before it came."""
        found = self._db.first("SELECT 1 FROM unsent WHERE author = ? AND sent_ms = ?", (author.raw, sent_ms))
        return found is not None

    def react(self, conversation: AccountId, reactor: AccountId, change: ReactionChange) -> bool:
        """Note a reaction or its withdrawal; return whether it is news: the last word of each person counts."""
        news = self._db.execute(
            "INSERT INTO reactions VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET sent_ms = excluded.sent_ms, removed = excluded.removed"
            " WHERE excluded.sent_ms > reactions.sent_ms",
            (
                self.number(conversation),
                change.author.raw,
                change.target_ms,
                reactor.raw,
                change.emoji,
                change.sent_ms,
                change.removed,
            ),
        )
        return news > 0

    def reaction_times(self, reactor: AccountId, since_ms: int) -> list[int]:
        """Return when somebody reacted since a moment."""
        query = "SELECT sent_ms FROM reactions WHERE reactor = ? AND sent_ms > ?"
        return [moment for (moment,) in self._db.rows(query, (reactor.raw, since_ms))]

    def read_by_peer(self, peer: AccountId, times: Iterable[int], now_ms: int) -> list[int]:
        """Note that `peer` has read our messages of these times; return those for which that is news."""
        number = self.number(peer)
        news: list[int] = []
        for sent_ms in times:
            if self._db.execute(
                "UPDATE messages SET read = 1 WHERE conversation = ? AND author = ? AND sent_ms = ? AND read = 0",
                (number, self._own.raw, sent_ms),
            ):
                news.append(sent_ms)
            elif self.find(self._own, sent_ms, peer) is None:
                self._db.execute("INSERT OR IGNORE INTO receipts VALUES (?, ?, ?)", (number, sent_ms, now_ms))
        return news

    def set_last_read(self, peer: AccountId, last_read_ms: int) -> bool:
        """Note how far a conversation was read; it never goes back.  Return whether that is news."""
        changed = self._db.execute(
            "UPDATE conversations SET last_read_ms = ? WHERE id = ? AND last_read_ms < ?",
            (last_read_ms, self.number(peer), last_read_ms),
        )
        return changed > 0

    def start_timers(self, peer: AccountId, up_to_ms: int, now_ms: int) -> list[tuple[str, int]]:
        """Let what was read and disappears after that begin to disappear.

        Returns hashes in our own swarm with the new expiry (Unix ms).
        """
        return [
            (own_hash, expires_ms)
            for own_hash, expires_ms in self._db.rows(
                "UPDATE messages SET expires_ms = ? + timer_s * 1000"
                " WHERE conversation = ? AND author <> ? AND sent_ms <= ? AND mode = ? AND timer_s > 0"
                " AND expires_ms IS NULL RETURNING own_hash, expires_ms",
                (now_ms, self.number(peer), self._own.raw, up_to_ms, ExpirationMode.AFTER_READ),
            )
            if own_hash
        ]

    def set_expiry(self, own_hash: str, expires_ms: int) -> None:
        """Let a message disappear at this time, if that is earlier than what is known."""
        self._db.execute(
            "UPDATE messages SET expires_ms = min(coalesce(expires_ms, ?), ?) WHERE own_hash = ?",
            (expires_ms, expires_ms, own_hash),
        )

    def expire(self, now_ms: int) -> list[tuple[AccountId, int]]:
        """Remove what has to disappear by now; return conversations and sent times."""
        gone = self._db.rows(
            f"SELECT m.id, c.peer, m.sent_ms FROM {_FROM} WHERE m.expires_ms <= ?",  # noqa: S608 - a constant
            (now_ms,),
        )
        self.remove([number for number, _, _ in gone])
        return [(AccountId.from_bytes(peer), sent_ms) for _, peer, sent_ms in gone]

    def next_expiry(self) -> int | None:
        """Return when the next message has to disappear."""
        found: int | None = self._db.value("SELECT min(expires_ms) FROM messages WHERE expires_ms IS NOT NULL")
        return found

    def remove(self, messages: Collection[int]) -> None:
        """Remove messages without a trace."""
        self._forget_reactions(messages)
        self._db.executemany("DELETE FROM messages WHERE id = ?", [(number,) for number in messages])

    def _forget_reactions(self, messages: Collection[int]) -> None:
        self._db.executemany(
            "DELETE FROM reactions WHERE (conversation, author, target_ms) ="
            " (SELECT conversation, author, sent_ms FROM messages WHERE id = ?)",
            [(number,) for number in messages],
        )

    def clear(self, peer: AccountId) -> list[str]:
        """Remove a conversation; return the hashes of its messages in our own swarm."""
        number = self.number(peer)
        hashes = self._db.rows("SELECT own_hash FROM messages WHERE conversation = ? AND own_hash <> ''", (number,))
        self._db.execute("DELETE FROM messages WHERE conversation = ?", (number,))
        self._db.execute("DELETE FROM conversations WHERE id = ?", (number,))
        return [name for (name,) in hashes]

    def hide(self, peer: AccountId, older_than_ms: int) -> None:
        """Remove what a conversation had before a moment, and hold the rest."""
        number = self.number(peer)
        self._db.execute("DELETE FROM messages WHERE conversation = ? AND sent_ms < ?", (number, older_than_ms))
        self._db.execute("DELETE FROM reactions WHERE conversation = ? AND target_ms < ?", (number, older_than_ms))
        self._db.execute("UPDATE messages SET held = 1 WHERE conversation = ?", (number,))
        self._db.execute("DELETE FROM profiles WHERE conversation = ?", (number,))

    def release(self, peer: AccountId) -> list[Message]:
        """Show what was held in a conversation; return it by sent time."""
        held = self.select("c.peer = ? AND m.held = 1 ORDER BY m.sent_ms, m.id", (peer.raw,))
        if held:
            self._db.execute("UPDATE messages SET held = 0 WHERE conversation = ? AND held = 1", (self.number(peer),))
        return held

    def holding(self) -> list[AccountId]:
        """Return the conversations in which something is held."""
        rows = self._db.rows(f"SELECT DISTINCT c.peer FROM {_FROM} WHERE m.held = 1")  # noqa: S608 - a constant
        return [AccountId.from_bytes(peer) for (peer,) in rows]

    def forget(self, before_ms: int) -> None:
        """Drop what was noted for messages that can come no more, and what was held for nothing."""
        self._db.execute("DELETE FROM unsent WHERE noted_ms < ?", (before_ms,))
        self._db.execute("DELETE FROM receipts WHERE noted_ms < ?", (before_ms,))
        self._db.execute("DELETE FROM messages WHERE held = 1 AND sent_ms < ?", (before_ms,))
        self._db.execute(
            "DELETE FROM reactions WHERE sent_ms < ? AND NOT EXISTS (SELECT 1 FROM messages m WHERE"
            " m.conversation = reactions.conversation AND m.author = reactions.author"
            " AND m.sent_ms = reactions.target_ms)",
            (before_ms,),
        )

    def delivered(self, message: int) -> None:
        """Note that a consumer is done with this message."""
        self._db.execute("UPDATE messages SET delivered = 1 WHERE id = ?", (message,))

    # Looking

    def undelivered(self, in_hand: Collection[int], passed_over: Collection[AccountId] = ()) -> Message | None:
        """Return the message a consumer should get next, leaving out those others have in hand, and conversations."""
        elsewhere = f"c.peer NOT IN ({', '.join('?' * len(passed_over))})"
        where = f"m.delivered = 0 AND m.held = 0 AND m.kind = 'text' AND {elsewhere} ORDER BY m.sent_ms, m.id LIMIT ?"
        values = (*(peer.raw for peer in passed_over), len(in_hand) + 1)
        return next((found for found in self.select(where, values) if found.id not in in_hand), None)

    def history(self, peer: AccountId, limit: int, before_ms: int | None = None) -> list[Message]:
        """Return the newest `limit` messages of a conversation, those before a moment if one is given, oldest first."""
        where = "c.peer = ? AND m.held = 0 AND (? IS NULL OR m.sent_ms < ?) ORDER BY m.sent_ms DESC, m.id DESC LIMIT ?"
        return self.select(where, (peer.raw, before_ms, before_ms, min(limit, _ALL)))[::-1]

    def message(self, number: int) -> Message | None:
        """Return a message by its id."""
        if not 0 < number < 2**63:
            return None
        return next(iter(self.select("m.id = ?", (number,))), None)

    def conversation_of(self, number: int) -> AccountId | None:
        """Return the conversation of a message by its id."""
        row = self._db.first(f"SELECT c.peer FROM {_FROM} WHERE m.id = ?", (number,))  # noqa: S608 - a constant
        return None if row is None else AccountId.from_bytes(row[0])

    def text(self, number: int) -> TextMessage | None:
        """Return the text that a message of our own was sent as."""
        row = self._db.first("SELECT content, sent_ms FROM messages WHERE id = ? AND kind = 'text'", (number,))
        return None if row is None else self._text(row[0], row[1], self._own)

    def all(self) -> Iterator[Message]:
        """Go through everything that is shown, conversation by conversation, by sent time."""
        for peer in self.peers():
            yield from self.select("c.peer = ? AND m.held = 0 ORDER BY m.sent_ms, m.id", (peer.raw,))

    def search(self, text: str, limit: int, peer: AccountId | None = None) -> list[Message]:
        """Return messages that hold all words of `text` (the last may be a beginning), the newest first."""
        words = [word.replace('"', '""') for word in text.split()]
        if not words or any("\ud800" <= letter <= "\udfff" for letter in text):
            return []  # halves of characters are in no message
        query = " ".join(f'"{word}"' for word in words) + "*"
        # Only ids are sorted: with whole rows, a word that is in most messages would take three times as long.
        where = (
            "m.id IN (SELECT f.id FROM texts JOIN messages f ON f.id = texts.rowid WHERE texts MATCH ? AND f.held = 0"
            " AND (? IS NULL OR f.conversation = (SELECT id FROM conversations WHERE peer = ?))"
            " ORDER BY f.sent_ms DESC LIMIT ?) ORDER BY m.sent_ms DESC"
        )
        raw = None if peer is None else peer.raw
        return self.select(where, (query, raw, raw, min(limit, _ALL)))

    def peers(self) -> list[AccountId]:
        """Return everyone with whom there is a conversation, the latest first."""
        rows = self._db.rows(
            "SELECT c.peer FROM conversations c LEFT JOIN messages m ON m.conversation = c.id AND m.held = 0"
            " GROUP BY c.id ORDER BY max(m.sent_ms) DESC, c.id"
        )
        return [AccountId.from_bytes(peer) for (peer,) in rows]

    def last_read(self, peer: AccountId) -> int:
        """Return up to which sent time (ms) a conversation was read."""
        row = self._db.first("SELECT last_read_ms FROM conversations WHERE peer = ?", (peer.raw,))
        return 0 if row is None else int(row[0])

    def unread(self, peer: AccountId) -> list[int]:
        """Return the sent times of what was not read in a conversation."""
        rows = self._db.rows(
            f"SELECT m.sent_ms FROM {_FROM}"  # noqa: S608 - a constant
            " WHERE c.peer = ? AND m.author = c.peer AND m.author <> ? AND m.held = 0 AND m.kind <> 'deleted'"
            " AND m.sent_ms > c.last_read_ms ORDER BY m.sent_ms",
            (peer.raw, self._own.raw),
        )
        return [sent_ms for (sent_ms,) in rows]

    def has_incoming(self, peer: AccountId) -> bool:
        """Tell whether the other side ever wrote anything that is still here."""
        query = f"SELECT 1 FROM {_FROM} WHERE c.peer = ? AND m.author = c.peer LIMIT 1"  # noqa: S608 - a constant
        return self._db.first(query, (peer.raw,)) is not None

    def select(self, where: str, values: Sequence[Any]) -> list[Message]:
        """Return messages by an SQL condition, with order and limit."""
        query = f"SELECT {_COLUMNS} FROM {_FROM} WHERE {where}"  # noqa: S608 - conditions are constants of this room
        return [self._message(row) for row in self._db.rows(query, values)]

    # Inside

    def _message(self, row: Sequence[Any]) -> Message:
        number, author, peer, kind, body, sent_ms, name, state, raw, read, mode, timer_s, expires_ms, last_read = row
        sender, conversation = AccountId.from_bytes(author), AccountId.from_bytes(peer)
        text = self._text(raw, sent_ms, sender) if kind == Kind.TEXT else None
        return Message(
            sender=sender,
            recipient=conversation if sender == self._own else self._own,
            body=body,
            sent_ms=sent_ms,
            hash=name,
            state=State(state),
            conversation=conversation,
            kind=Kind(kind),
            attachments=self._attachments(text, number) if text and text.attachments else (),
            quote=text.quote if text else None,
            previews=text.previews if text else (),
            invitation=text.invitation if text else None,
            reactions=() if kind == Kind.DELETED else self._reactions(peer, author, sent_ms),
            read=bool(read) if sender == self._own else sent_ms <= last_read,
            expiration=Expiration(ExpirationMode(mode), timer_s),
            expires_ms=expires_ms,
            id=number,
        )

    def _text(self, raw: bytes, sent_ms: int, sender: AccountId) -> TextMessage | None:
        try:
            found = content.decode(raw, sent_ms=sent_ms, sender=sender, own=self._own)
        except ParseError:
            return None
        return found if isinstance(found, TextMessage) else None

    def _attachments(self, text: TextMessage, message: int) -> tuple[Attachment, ...]:
        rows = self._db.rows("SELECT place, state FROM fetched WHERE message = ?", (message,))
        fetched = {place: FileState(state) for place, state in rows}
        return tuple(
            Attachment.of(pointer, message, place, fetched.get(place)) for place, pointer in enumerate(text.attachments)
        )

    def _reactions(self, peer: bytes, author: bytes, sent_ms: int) -> tuple[Reaction, ...]:
        rows = self._db.rows(
            "SELECT emoji, reactor FROM reactions"
            " WHERE conversation = (SELECT id FROM conversations WHERE peer = ?) AND author = ? AND target_ms = ?"
            " AND removed = 0 ORDER BY sent_ms, emoji, reactor",
            (peer, author, sent_ms),
        )
        return tuple(Reaction(emoji, AccountId.from_bytes(reactor)) for emoji, reactor in rows)
