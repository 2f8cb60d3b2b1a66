"""What each member of a swarm reports about a recursive request, and what it signs of it.

The node fills these in, signs and sends them; the client reads and verifies them; a node that passes on what its peers
report reads them too.  One type a kind of report; only the documented fields are taken.
Spec: storage-rpc.md §4 *Per-member entries*, node/CORRECTIONS.md.

Theory of operation.  PK is the account in lower-case hex.  Lists of hashes are sorted; for a request about all
namespaces they come by namespace, but are signed as one sorted run.  Between nodes the reports are bencoded, where
flags are 1 and signatures raw; in JSON flags are true (1 is taken too: the reference server writes it for its
peers) and signatures base64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeAlias

import msgspec

from ramson.crypto.hashing import message_hash
from ramson.crypto.keys import verify
from ramson.errors import ParseError
from ramson.protocol.storage import requests as r
from ramson.protocol.storage.kinds import decode_base64, is_hash
from ramson.protocol.storage.limits import MAX_INT, MIN_INT

Hashes: TypeAlias = "tuple[str, ...] | dict[int, tuple[str, ...]]"

MAX_REASON: Final = 500  # characters of a peer's text that are kept


class StoreEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The message is kept until `expiry`; `already` says that it was there before."""

    hash: str
    expiry: int
    already: bool = False

    def signed_message(self, _request: r.AccountRequest) -> bytes:
        """Return what the member signs."""
        return self.hash.encode()

    def fields(self) -> dict[str, Any]:
        """Return the fields as they are sent."""
        fields: dict[str, Any] = {"hash": self.hash, "expiry": self.expiry}
        if self.already:
            fields["already"] = True
        return fields

    @classmethod
    def read(cls, source: Source) -> StoreEntry:
        """Read the fields.  Raises ParseError."""
        return cls(hash=source.hash("hash"), expiry=source.integer("expiry"), already=source.flag("already"))


class HashesEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Some messages were changed: base of the reports that are lists of hashes."""

    hashes: Hashes

    key: ClassVar[str]

    def signed_message(self, request: r.AccountRequest) -> bytes:
        """Return what the member signs."""
        match request:
            case r.Delete():
                middle = "".join(request.messages)
            case r.DeleteAll():
                middle = str(request.timestamp)
            case r.DeleteBefore():
                middle = str(request.before)
            case r.ExpireAll():
                middle = str(request.expiry)
            case _:
                raise TypeError(f"members do not report hashes for {request.method.name}")
        return f"{request.account.hex()}{middle}{''.join(sorted(flat(self.hashes)))}".encode()

    def fields(self) -> dict[str, Any]:
        """Return the fields as they are sent."""
        if isinstance(self.hashes, dict):
            return {self.key: {str(namespace): hashes for namespace, hashes in self.hashes.items()}}
        return {self.key: self.hashes}


class DeletedEntry(HashesEntry, frozen=True, kw_only=True, gc=False):
    """These messages were deleted."""

    key: ClassVar[str] = "deleted"

    @classmethod
    def read(cls, source: Source) -> DeletedEntry:
        """Read the fields.  Raises ParseError."""
        return cls(hashes=source.hashes_by_namespace(cls.key))


class UpdatedEntry(HashesEntry, frozen=True, kw_only=True, gc=False):
    """The expiries of these messages were lowered."""

    key: ClassVar[str] = "updated"

    @classmethod
    def read(cls, source: Source) -> UpdatedEntry:
        """Read the fields.  Raises ParseError."""
        return cls(hashes=source.hashes_by_namespace(cls.key))


class ExpireEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Expiries after `expire`.

    `expiry` is one for all of `updated`, or one for each, in the same order.  `unchanged` (only with a mode) has the
    known messages that kept their own.
    """

    updated: tuple[str, ...]
    expiry: int | tuple[int, ...]
    unchanged: dict[str, int] | None = None

    def signed_message(self, request: r.AccountRequest) -> bytes:
        """Return what the member signs."""
        if not isinstance(request, r.Expire):
            raise TypeError(f"members do not report expiries for {request.method.name}")
        expiries = (self.expiry,) if isinstance(self.expiry, int) else self.expiry
        kept = sorted((self.unchanged or {}).items())
        return "".join(
            (
                request.account.hex(),
                *map(str, expiries),
                *request.messages,
                *self.updated,
                *(f"{name}{expiry}" for name, expiry in kept),
            )
        ).encode()

    def fields(self) -> dict[str, Any]:
        """Return the fields as they are sent."""
        fields: dict[str, Any] = {"updated": self.updated, "expiry": self.expiry}
        if self.unchanged is not None:
            fields["unchanged"] = self.unchanged
        return fields

    @classmethod
    def read(cls, source: Source) -> ExpireEntry:
        """Read the fields.  Raises ParseError."""
        return cls(
            updated=source.hashes("updated"), expiry=source.integers("expiry"), unchanged=source.times("unchanged")
        )


class RevokedEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The tokens are revoked."""

    def signed_message(self, request: r.AccountRequest) -> bytes:
        """Return what the member signs."""
        return _tokens_message(request)

    def fields(self) -> dict[str, Any]:
        """Return the fields as they are sent."""
        return {}

    @classmethod
    def read(cls, _source: Source) -> RevokedEntry:
        """Read the fields: there are none."""
        return cls()


class UnrevokedEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`count` of the tokens had been revoked."""

    count: int

    def signed_message(self, request: r.AccountRequest) -> bytes:
        """Return what the member signs."""
        return _tokens_message(request)

    def fields(self) -> dict[str, Any]:
        """Return the fields as they are sent."""
        return {"count": self.count}

    @classmethod
    def read(cls, source: Source) -> UnrevokedEntry:
        """Read the fields.  Raises ParseError."""
        return cls(count=source.integer("count"))


def _tokens_message(request: r.AccountRequest) -> bytes:
    if not isinstance(request, r.RevokeSubaccount | r.UnrevokeSubaccount):
        raise TypeError(f"members do not report tokens for {request.method.name}")
    return b"%b%d%b" % (request.account.hex().encode(), request.timestamp, b"".join(request.tokens))


Entry: TypeAlias = StoreEntry | DeletedEntry | UpdatedEntry | ExpireEntry | RevokedEntry | UnrevokedEntry

_ENTRY_OF: Final[Mapping[type[r.Request], type[Entry]]] = {
    r.Store: StoreEntry,
    r.Delete: DeletedEntry,
    r.DeleteAll: DeletedEntry,
    r.DeleteBefore: DeletedEntry,
    r.ExpireAll: UpdatedEntry,
    r.Expire: ExpireEntry,
    r.RevokeSubaccount: RevokedEntry,
    r.UnrevokeSubaccount: UnrevokedEntry,
}


class Failed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The member did not do it: no answer in time, a refusal (`code`, `reason`), nonsense, or its database failed."""

    timeout: bool = False
    code: str = ""
    reason: str = ""
    bad_peer_response: bool = False
    query_failure: bool = False

    def fields(self) -> dict[str, Any]:
        """Return the fields as they are sent."""
        fields: dict[str, Any] = {"failed": True}
        for name in self.__struct_fields__:
            if value := getattr(self, name):
                fields[name] = value
        return fields


class Signed(msgspec.Struct, frozen=True, gc=False):
    """A member's report and its signature."""

    entry: Entry
    signature: bytes

    def fields(self) -> dict[str, Any]:
        """Return the fields as they are sent, the signature raw."""
        return {**self.entry.fields(), "signature": self.signature}


Report: TypeAlias = Signed | Failed


def verify_entry(request: r.AccountRequest, node_ed25519: bytes, report: Signed) -> bool:
    """Tell whether a report is signed by this member for this request; for a store, also that it names this message."""
    if isinstance(request, r.Store) and isinstance(report.entry, StoreEntry):
        wanted = message_hash(request.account, request.namespace, request.data)
        return report.entry.hash == wanted and verify(node_ed25519, wanted.encode(), report.signature)
    return verify(node_ed25519, report.entry.signed_message(request), report.signature)


def flat(hashes: Hashes) -> list[str]:
    """Return all hashes in one list."""
    if isinstance(hashes, dict):
        return [name for group in hashes.values() for name in group]
    return list(hashes)


def read_report(request: r.Request, document: Any) -> Report:
    """Read a member's report, decoded from JSON (text keys) or bencode (bytes keys).  Raises ParseError."""
    if not isinstance(document, dict):
        raise ParseError("a member's report is not an object")
    source = Source(document)
    if source.flag("failed"):
        return Failed(
            timeout=source.flag("timeout"),
            code=source.text("code"),
            reason=source.text("reason"),
            bad_peer_response=source.flag("bad_peer_response"),
            query_failure=source.flag("query_failure"),
        )
    return Signed(_ENTRY_OF[type(request)].read(source), source.signature())


class Source:
    """A decoded report of either encoding, read field by field; everything raises ParseError."""

    def __init__(self, document: dict[Any, Any]) -> None:
        self._document = document
        self._bt = any(isinstance(key, bytes) for key in document)

    def _get(self, name: str) -> Any:
        return self._document.get(name.encode() if self._bt else name)

    def _wrong(self, name: str) -> ParseError:
        return ParseError(f"a member's report has no valid `{name}`")

    def _to_text(self, value: Any, name: str) -> str:
        if isinstance(value, bytes) and self._bt:
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise self._wrong(name) from None
        if not isinstance(value, str):
            raise self._wrong(name)
        return value

    def _to_hash(self, value: Any, name: str) -> str:
        text = self._to_text(value, name)
        if not is_hash(text):
            raise self._wrong(name)
        return text

    def _to_integer(self, value: Any, name: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not MIN_INT <= value <= MAX_INT:
            raise self._wrong(name)
        return value

    def text(self, name: str) -> str:
        """Return a short text for a person; empty when absent.  A number is taken for its digits."""
        value = self._get(name)
        if value is None:
            return ""
        return str(value) if isinstance(value, int) else self._to_text(value, name)[:MAX_REASON]

    def flag(self, name: str) -> bool:
        """Return a flag: true or 1; absent means false."""
        value = self._get(name)
        if value not in (None, 0, 1):
            raise self._wrong(name)
        return bool(value)

    def integer(self, name: str) -> int:
        """Return an integer of 64 bits."""
        return self._to_integer(self._get(name), name)

    def integers(self, name: str) -> int | tuple[int, ...]:
        """Return an integer or a list of these."""
        value = self._get(name)
        if isinstance(value, list):
            return tuple([self._to_integer(element, name) for element in value])
        return self._to_integer(value, name)

    def hash(self, name: str) -> str:
        """Return one hash."""
        return self._to_hash(self._get(name), name)

    def _to_hashes(self, value: Any, name: str) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self._wrong(name)
        return tuple([self._to_hash(element, name) for element in value])

    def hashes(self, name: str) -> tuple[str, ...]:
        """Return a list of hashes."""
        return self._to_hashes(self._get(name), name)

    def hashes_by_namespace(self, name: str) -> Hashes:
        """Return a list of hashes, or one for each namespace."""
        value = self._get(name)
        if not isinstance(value, dict):
            return self._to_hashes(value, name)
        found: dict[int, tuple[str, ...]] = {}
        for key, hashes in value.items():
            text = self._to_text(key, name)
            if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > len("-32768"):
                raise self._wrong(name)
            found[int(text)] = self._to_hashes(hashes, name)
        return found

    def times(self, name: str) -> dict[str, int] | None:
        """Return times by hash; None when absent."""
        value = self._get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(name)
        return {self._to_hash(key, name): self._to_integer(time, name) for key, time in value.items()}

    def signature(self) -> bytes:
        """Return the signature, raw in bencode and base64 in JSON."""
        value = self._get("signature")
        try:
            signature = value if self._bt and isinstance(value, bytes) else decode_base64(value)
        except ValueError:
            raise self._wrong("signature") from None
        if len(signature) != 64:
            raise self._wrong("signature")
        return signature
