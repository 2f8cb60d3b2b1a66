r"""Taking an account along: an encrypted archive, and copies for reading, as JSON and as HTML.

An *archive* holds all there is to an account: its secret, its configs, every message with its whole Content,
reactions and settings.  It becomes an account file again (`fill`), or is added to the file of the same account
(`merge`): what is there already stays as it is, and nothing is doubled.

    0     `ramson-archive\n`
    15    version: 1
    16    the salt of an account file (see `vault`): what a guess of the passphrase costs, and 12 random bytes
    32    24 bytes nonce, then XChaCha20-Poly1305 of zstd of JSON; everything before it is authenticated

The copies for reading are not encrypted and hold no secret of the account.  Attachments are named, not contained.
Spec: none (local format); identity.md, what users ask for.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import zstandard
from nacl.exceptions import CryptoError
from nacl.secret import Aead

from ramson.crypto.account import AccountId
from ramson.crypto.entropy import Entropy
from ramson.errors import LocalError, ParseError
from ramson.messenger import vault
from ramson.messenger.message import Message
from ramson.messenger.store import Store
from ramson.messenger.vault import SALT_SIZE, KeyCost, NotAnAccountFile
from ramson.protocol.config import Contact

_MAGIC: Final = b"ramson-archive\n\x01"
_HEADER: Final = len(_MAGIC) + SALT_SIZE
ARCHIVE_COST: Final = KeyCost(passes=3, memory=28)  # 256 MiB: archives lie in clouds and are seldom opened
MAX_ARCHIVE: Final = 2**31  # bytes, of an archive and of the JSON in it
_MESSAGE_COLUMNS: Final = (
    "author",
    "sent_ms",
    "kind",
    "body",
    "detail",
    "attachments",
    "content",
    "hash",
    "own_hash",
    "state",
    "reason",
    "stored",
    "total",
    "delivered",
    "read",
    "held",
    "mode",
    "timer_s",
    "expires_ms",
)
_REACTION_COLUMNS: Final = ("author", "target_ms", "reactor", "emoji", "sent_ms", "removed")
_KEPT_VALUES: Final = "key LIKE 'setting %' OR key LIKE 'config time %' OR key IN ('last_sent_ms', 'wanted name')"

Document: TypeAlias = dict[str, Any]


class BadArchive(LocalError):
    """A file that is no archive, is damaged, or does not open with this passphrase."""


class OtherAccount(LocalError):
    """An archive of another account."""


# Archives


def seal(store: Store, passphrase: str, *, entropy: Entropy, cost: KeyCost) -> bytes:
    """Return an archive of everything in an account file.  Blocks for the time of the key derivation.

    Raises WeakPassphrase.
    """
    return seal_packed(pack(store), passphrase, entropy=entropy, cost=cost)


def pack(store: Store) -> bytes:
    """Return what an archive holds, not sealed yet."""
    return zstandard.ZstdCompressor().compress(json.dumps(_document(store)).encode())


def seal_packed(plain: bytes, passphrase: str, *, entropy: Entropy, cost: KeyCost) -> bytes:
    """Return an archive of what `pack` gave; needs no store, so that it can be done elsewhere.  As `seal` otherwise."""
    vault.check_passphrase(passphrase)
    header = _MAGIC + cost.salt(entropy)
    box = Aead(vault.derive(passphrase, header[len(_MAGIC) :], cost))
    return header + bytes(box.encrypt(plain, aad=header, nonce=entropy.randbytes(Aead.NONCE_SIZE)))


def open_archive(archive: bytes, passphrase: str) -> Document:
    """Return what an archive holds.  Blocks for the time of the key derivation.  Raises BadArchive."""
    header = archive[:_HEADER]
    if not header.startswith(_MAGIC[:-1]) or len(header) < _HEADER:
        raise BadArchive("this is not an archive of an account", remedy="Check the path.")
    if not header.startswith(_MAGIC):
        raise BadArchive("this archive was made by a newer version", remedy="Update ramson.")
    salt = header[len(_MAGIC) :]
    try:
        cost = KeyCost.of_salt(salt)
    except NotAnAccountFile:
        raise BadArchive("the archive is damaged") from None
    box = Aead(vault.derive(passphrase, salt, cost))
    try:
        packed = box.decrypt(archive[_HEADER:], aad=header)
        plain = zstandard.ZstdDecompressor().decompress(packed, max_output_size=MAX_ARCHIVE)
        document = json.loads(plain)
    except (CryptoError, ValueError, zstandard.ZstdError):
        raise BadArchive(
            "the passphrase is wrong, or the archive is damaged",
            remedy="Type it again; letters' case and spaces count.",
        ) from None
    if not isinstance(document, dict):
        raise BadArchive("the archive holds no account")
    return document


def entropy_of(document: Document) -> bytes:
    """Return the secret of the account in an archive.  Raises BadArchive."""
    try:
        return bytes.fromhex(document["entropy"])
    except (KeyError, TypeError, ValueError):
        raise BadArchive("the archive holds no account") from None


def fill(store: Store, document: Document) -> int:
    """Put everything of an archive into a new account file; return how many messages that was.  Raises BadArchive."""
    with store.db.transaction():
        for namespace, dump in _items(document, "configs"):
            store.db.execute("INSERT OR REPLACE INTO configs VALUES (?, ?, 1)", (int(namespace), _bytes(dump)))
        for key, value in _items(document, "values"):
            store.db.set(str(key), value)
    return merge(store, document)


def merge(store: Store, document: Document) -> int:
    """Add the messages of an archive to the file of the same account; return how many are new.

    What has disappeared here since, and is still in the archive, comes back unless its time is over.  Raises
    OtherAccount, BadArchive.
    """
    if entropy_of(document) != store.keys.entropy:
        raise OtherAccount("this is an archive of another account", remedy="Import it into a new account file.")
    try:
        with store.configs.changing():
            return sum(_add_conversation(store, each) for each in document["conversations"])
    except (KeyError, TypeError, ValueError, ParseError):
        raise BadArchive("the archive is damaged") from None


def _document(store: Store) -> Document:
    db = store.db
    return {
        "entropy": store.keys.entropy.hex(),
        "configs": {str(namespace): _text(dump) for namespace, dump in db.rows("SELECT namespace, dump FROM configs")},
        "values": dict(db.rows(f"SELECT key, value FROM meta WHERE {_KEPT_VALUES}")),  # noqa: S608 - a constant
        "conversations": [
            {
                "peer": peer.hex(),
                "last_read_ms": last_read_ms,
                "messages": _table(store, "messages", _MESSAGE_COLUMNS, number),
                "reactions": _table(store, "reactions", _REACTION_COLUMNS, number),
            }
            for number, peer, last_read_ms in db.rows("SELECT id, peer, last_read_ms FROM conversations")
        ],
    }


def _table(store: Store, table: str, columns: Iterable[str], conversation: int) -> list[list[Any]]:
    query = f"SELECT {', '.join(columns)} FROM {table} WHERE conversation = ?"  # noqa: S608 - constants
    return [
        [{"b": _text(value)} if isinstance(value, bytes) else value for value in row]
        for row in store.db.rows(query, (conversation,))
    ]


def _add_conversation(store: Store, document: Mapping[str, Any]) -> int:
    peer = AccountId.from_bytes(bytes.fromhex(document["peer"]))
    number = store.conversations.number(peer)
    store.conversations.set_last_read(peer, int(document["last_read_ms"]))
    new = sum(_insert(store, "messages", _MESSAGE_COLUMNS, number, row) for row in document["messages"])
    for row in document["reactions"]:
        _insert(store, "reactions", _REACTION_COLUMNS, number, row)
    # What was on its way when the archive was made has no envelope any more; it can be sent again by hand.
    store.db.execute(
        "UPDATE messages SET state = 'failed', reason = 'it was not sent when the archive was made'"
        " WHERE state = 'sending' AND conversation = ? AND id NOT IN"
        " (SELECT message FROM outbox WHERE message IS NOT NULL UNION"
        " SELECT message FROM files WHERE message IS NOT NULL)",
        (number,),
    )
    if new and peer != store.keys.id and store.configs.contact(peer) is None:
        store.configs.contacts.set(Contact(peer, approved=True))
    return new


def _insert(store: Store, table: str, columns: tuple[str, ...], conversation: int, row: list[Any]) -> int:
    values = [_bytes(value["b"]) if isinstance(value, dict) else value for value in row]
    if len(values) != len(columns):
        raise ValueError
    names, places = ", ".join(columns), ", ".join("?" * len(columns))
    query = f"INSERT OR IGNORE INTO {table} (conversation, {names}) VALUES (?, {places})"  # noqa: S608 - constants
    return store.db.execute(query, (conversation, *values))


def _items(document: Document, name: str) -> list[tuple[str, Any]]:
    found = document.get(name)
    if not isinstance(found, dict):
        raise BadArchive("the archive is damaged")
    return list(found.items())


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


# Copies for reading


def as_json(store: Store) -> str:
    """Return all conversations as JSON, for programs and for reading."""
    return json.dumps(
        {
            "account": store.keys.id.hex,
            "name": store.name,
            "conversations": [
                {
                    "peer": peer.hex,
                    "name": _name(store, peer),
                    "messages": [message_fields(message) for message in messages],
                }
                for peer, messages in _conversations(store)
            ],
        },
        ensure_ascii=False,
        indent=1,
    )


def message_fields(message: Message) -> dict[str, Any]:
    """Return a message as plain values, as exports and programs get it."""
    return {
        "id": message.id,
        "kind": message.kind.value,
        "sender": message.sender.hex,
        "recipient": message.recipient.hex,
        "conversation": message.conversation.hex,
        "incoming": message.incoming,
        "sent_ms": message.sent_ms,
        "hash": message.hash,
        "state": message.state.value,
        "read": message.read,
        "body": message.body,
        "quote": None if message.quote is None else {"sent_ms": message.quote.sent_ms, "author": message.quote.author},
        "reactions": [{"emoji": each.emoji, "from": each.reactor.hex} for each in message.reactions],
        "attachments": [
            {
                "name": each.name,
                "type": each.content_type,
                "size": each.size,
                "width": each.width,
                "height": each.height,
                "voice": each.voice,
                "caption": each.caption,
                "state": each.state.value,
            }
            for each in message.attachments
        ],
        "previews": [{"url": each.url, "title": each.title} for each in message.previews],
        "invitation": None
        if message.invitation is None
        else {"name": message.invitation.name, "url": message.invitation.url},
        "expiration": {"mode": message.expiration.mode.name.lower(), "seconds": message.expiration.timer_s},
        "expires_ms": message.expires_ms,
    }


def as_html(store: Store) -> str:
    """Return all conversations as one HTML page without scripts, pictures or links to anywhere."""
    parts = [_PAGE_HEAD, f"<h1>{html.escape(store.name or 'Account')}</h1><p>{store.keys.id.hex}</p>"]
    for peer, messages in _conversations(store):
        parts.append(f"<h2>{html.escape(_name(store, peer) or peer.hex)}</h2><p>{peer.hex}</p>")
        parts += [_line(message) for message in messages]
    return "\n".join([*parts, "</body></html>\n"])


def _line(message: Message) -> str:
    side = "in" if message.incoming else "out"
    what = message.body or f"({message.kind.value})"
    extra = "".join(f"<br>📎 {_foreign(each.name or each.content_type)}" for each in message.attachments)
    extra += "".join(f" {_foreign(each.emoji)}" for each in message.reactions)
    return f'<div class="{side}"><time>{_moment(message.sent_ms)}</time> {_foreign(what)}{extra}</div>'


def _foreign(text: str) -> str:
    """Return text as text, whose direction ends with it: it cannot make what stands beside it read otherwise."""
    return f"<bdi>{html.escape(text)}</bdi>"


def _moment(sent_ms: int) -> str:
    try:
        return datetime.fromtimestamp(sent_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return "(no such date)"


def _conversations(store: Store) -> list[tuple[AccountId, list[Message]]]:
    found = ((peer, store.conversations.history(peer, 2**31)) for peer in store.conversations.peers())
    return [(peer, messages) for peer, messages in found if messages]


def _name(store: Store, peer: AccountId) -> str:
    if peer == store.keys.id:
        return "Note to Self"
    contact = store.configs.contact(peer)
    return (contact.nickname or contact.name) if contact is not None else ""


_PAGE_HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Messages</title>
<style>
body { font: 16px/1.4 sans-serif; max-width: 46em; margin: 2em auto; }
div { white-space: pre-wrap; margin: .4em 0; padding: .4em .7em; border-radius: .6em; overflow-wrap: anywhere; }
.in { background: #eee; margin-right: 20%; }
.out { background: #cfe9d6; margin-left: 20%; }
time, p { color: #666; font-size: .8em; }
</style></head><body>"""
