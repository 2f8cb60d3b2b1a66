"""Storage requests as frozen values, one type a method, each with its method's declaration.

They are made by the parser (node) or directly (client), and never change; signing makes a new one.
Spec: storage-rpc.md §3–4, swarms.md §6, node/CORRECTIONS.md.

Accounts are 33 raw bytes, hashes 43-character texts, all times Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

import msgspec

from ramson.protocol.storage.declaration import (
    ED25519_FIELD,
    PUBKEY,
    SIGNATURE_FIELD,
    SUBACCOUNT_FIELD,
    SUBACCOUNT_SIG_FIELD,
    Access,
    Auth,
    Field,
    Method,
    Side,
    TimeRule,
)
from ramson.protocol.storage.kinds import (
    ANY_TIME,
    COUNT,
    DATA,
    FLAG,
    HASHES,
    INTEGER,
    LIFETIME,
    NAMESPACE,
    NAMESPACE_OR_ALL,
    SOUGHT_HASHES,
    TEXT,
    TIMESTAMP,
    TIMESTAMPS,
    tokens_kind,
)
from ramson.protocol.storage.limits import (
    FORWARDED_TOLERANCE_MS,
    MAX_TOKENS,
    SESSION_PREFIX,
    SIGNATURE_TOLERANCE_MS,
)


class Subaccount(msgspec.Struct, frozen=True, gc=False):
    """A token that lets its key act for the account, and the owner's signature over the token."""

    token: bytes
    signature: bytes

    @property
    def prefix(self) -> int:
        """The network byte of the accounts it was made for."""
        return self.token[0]

    @property
    def flags(self) -> int:
        """The `Access` bits."""
        return self.token[1]

    @property
    def key(self) -> bytes:
        """The Ed25519 key that signs."""
        return self.token[4:]


class Credentials(msgspec.Struct, frozen=True, gc=False):
    """Who signed.  `ed25519` is the owner's Ed25519 key, given for accounts of the prefix 05 only."""

    signature: bytes
    ed25519: bytes | None = None
    subaccount: Subaccount | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Any request."""

    method: ClassVar[Method]

    def to_json_params(self) -> dict[str, Any]:
        """Return the `params` a client sends."""
        return {}


class AccountRequest(Request, frozen=True, kw_only=True):
    """A request about one account, signed where its method asks for that."""

    account: bytes
    credentials: Credentials | None = None

    @property
    def is_session_account(self) -> bool:
        """Whether the account's key is X25519, so that signatures need an Ed25519 key beside it."""
        return self.account[0] == SESSION_PREFIX

    def signed_message(self) -> bytes:
        """Return what is signed: the method's name and the texts of `Method.signs`, without separators (§3)."""
        texts = [_signed_text(getattr(self, attr)) for attr in self.method.signs]
        return self.method.name.encode() + b"".join(texts)

    def to_json_params(self) -> dict[str, Any]:
        """Return the `params` a client sends."""
        params: dict[str, Any] = {PUBKEY: self.account.hex()}
        for field in self.method.fields:
            if field.client and (value := getattr(self, field.attribute)) != field.default:
                params[field.name] = field.kind.to_json(value)
        for field, value in self._authentication():
            params[field.name] = field.kind.to_json(value)
        return params

    def to_bt(self) -> dict[str, Any]:
        """Return the parameters as a node forwards them to the other members, ready for `bt.encode` (swarms.md §6)."""
        params: dict[str, Any] = {PUBKEY: self.account}
        for field in self.method.fields:
            if field.forwarded and (value := getattr(self, field.attribute)) != field.default:
                params[field.name] = field.kind.to_bt(value)
        for field, value in self._authentication():
            params[field.name] = value
        return params

    def _authentication(self) -> list[tuple[Field, bytes]]:
        if self.credentials is None:
            return []
        given = [(SIGNATURE_FIELD, self.credentials.signature)]
        if self.credentials.ed25519 is not None:
            given.append((ED25519_FIELD, self.credentials.ed25519))
        if self.credentials.subaccount is not None:
            given.append((SUBACCOUNT_FIELD, self.credentials.subaccount.token))
            given.append((SUBACCOUNT_SIG_FIELD, self.credentials.subaccount.signature))
        return given


def _signed_text(value: Any) -> bytes:
    match value:
        case int():
            return b"%d" % value
        case str():
            return value.encode()
        case bytes():
            return value
        case tuple():
            return b"".join([_signed_text(part) for part in value])
        case _:  # a time that was not given: no signature will fit
            return b""


def namespace_text(namespace: int | None) -> str:
    """Return a namespace as it is signed: empty for 0, decimal, or `all` for None."""
    return "all" if namespace is None else str(namespace) if namespace else ""


class _OneNamespace(AccountRequest, frozen=True, kw_only=True, gc=False):
    namespace: int = 0

    @property
    def namespace_text(self) -> str:
        """The namespace as it is signed."""
        return namespace_text(self.namespace)


class _OneOrAll(AccountRequest, frozen=True, kw_only=True, gc=False):
    namespace: int | None = 0  # None: all

    @property
    def namespace_text(self) -> str:
        """The namespace as it is signed."""
        return namespace_text(self.namespace)


# ---- declarations

_NAMESPACE: Final = Field("namespace", NAMESPACE, "default 0", default=0)
_NAMESPACE_OR_ALL: Final = Field("namespace", NAMESPACE_OR_ALL, "default 0", default=0)
_TIMESTAMP: Final = Field("timestamp", TIMESTAMP, "the time of signing", required=True)
_MESSAGES: Final = Field("messages", HASHES, "hashes of any namespaces", required=True)


def _near(what: str, attr: str = "timestamp", forwarded: int = SIGNATURE_TOLERANCE_MS) -> TimeRule:
    return TimeRule(attr, Side.NEAR, f"{what} timestamp too far from current time", forwarded=forwarded)


class Store(_OneNamespace, frozen=True, kw_only=True, gc=False):
    """Keep `data` until `expiry`; `sig_timestamp` is what is signed when it is not `timestamp`."""

    data: bytes
    timestamp: int
    expiry: int
    sig_timestamp: int | None = None

    method: ClassVar[Method] = Method(
        "store",
        "Keep a message in the whole swarm.",
        (
            Field("timestamp", ANY_TIME, "when the message was made", required=True),
            Field("data", DATA, "the message", required=True),
            Field("ttl", LIFETIME, "lifetime; either this or `expiry`", forwarded=False),
            Field("expiry", TIMESTAMP, "end of the lifetime; either this or `ttl`", client=False),
            _NAMESPACE,
            Field("sig_timestamp", TIMESTAMP, "the time of signing; default `timestamp`"),
        ),
        pubkey_aliases=("pubKey",),
        auth=Auth.PRIVATE_STORE,
        signs=("namespace_text", "signed_at"),
        signature_refusal="store signature verification failed",
        access=Access.WRITE,
        time=_near("store signature", "signed_at"),
        recursive=True,
    )

    @property
    def ttl(self) -> int:
        """The lifetime in ms."""
        return self.expiry - self.timestamp

    @property
    def signed_at(self) -> int:
        """The time that is signed."""
        return self.timestamp if self.sig_timestamp is None else self.sig_timestamp


class Retrieve(_OneNamespace, frozen=True, kw_only=True, gc=False):
    """Read a namespace from after `last_hash`.

    `max_count` and `max_size` 0 mean unset; `max_size` −n means the n-th part of the largest reply.
    """

    timestamp: int | None = None
    last_hash: str = ""
    max_count: int = 0
    max_size: int = 0

    method: ClassVar[Method] = Method(
        "retrieve",
        "Read messages from this node, in its order of arrival.",
        (
            # Always written: with it the rule for a missing signature is that of the namespace.
            Field("namespace", NAMESPACE, "default 0"),
            Field("timestamp", TIMESTAMP, "the time of signing"),
            Field("last_hash", TEXT, "start after this message", aliases=("lastHash",), default=""),
            Field("max_count", COUNT, "most messages; 0 is unset", default=0),
            Field("max_size", INTEGER, "most bytes; 0 is unset, −n the n-th part of 7,800,000", default=0),
        ),
        pubkey_aliases=("pubKey",),
        auth=Auth.PRIVATE_READ,
        signs=("namespace_text", "timestamp"),
        signature_refusal="retrieve signature verification failed",
        access=Access.READ,
        time=_near("retrieve"),
    )


class Delete(AccountRequest, frozen=True, kw_only=True, gc=False):
    """Delete messages of any namespaces; `required` asks for an error when none was there."""

    messages: tuple[str, ...]
    required: bool = False

    method: ClassVar[Method] = Method(
        "delete",
        "Delete messages by their hashes.",
        (
            _MESSAGES,
            Field("required", FLAG, "answer 404 if no member deleted anything", default=False, forwarded=False),
        ),
        auth=Auth.ALWAYS,
        signs=("messages",),
        signature_refusal="delete_msgs signature verification failed",
        access=Access.DELETE,
        recursive=True,
    )


class DeleteAll(_OneOrAll, frozen=True, kw_only=True, gc=False):
    """Delete a namespace, or (None) all of them."""

    timestamp: int

    method: ClassVar[Method] = Method(
        "delete_all",
        "Delete all messages of a namespace or of all.",
        (_TIMESTAMP, _NAMESPACE_OR_ALL),
        auth=Auth.ALWAYS,
        signs=("namespace_text", "timestamp"),
        signature_refusal="delete_all signature verification failed",
        access=Access.DELETE,
        time=_near("delete_all", forwarded=FORWARDED_TOLERANCE_MS),
        recursive=True,
    )


class DeleteBefore(_OneOrAll, frozen=True, kw_only=True, gc=False):
    """Delete what has the timestamp `before` or an earlier one, in a namespace or (None) in all of them."""

    before: int

    method: ClassVar[Method] = Method(
        "delete_before",
        "Delete messages up to a timestamp.",
        (Field("before", TIMESTAMP, "the last timestamp to be deleted", required=True), _NAMESPACE_OR_ALL),
        auth=Auth.ALWAYS,
        signs=("namespace_text", "before"),
        signature_refusal="delete_before signature verification failed",
        access=Access.DELETE,
        time=TimeRule("before", Side.NOT_AFTER, "delete_before timestamp too far in the future", 401),
        recursive=True,
    )


class ExpireAll(_OneOrAll, frozen=True, kw_only=True, gc=False):
    """Lower later expiries to `expiry`, in a namespace or (None) in all of them."""

    expiry: int

    method: ClassVar[Method] = Method(
        "expire_all",
        "Lower the expiries of a namespace or of all.",
        (Field("expiry", TIMESTAMP, "the latest expiry to remain", required=True), _NAMESPACE_OR_ALL),
        auth=Auth.ALWAYS,
        signs=("namespace_text", "expiry"),
        signature_refusal="expire_all signature verification failed",
        access=Access.DELETE,
        time=TimeRule(
            "expiry",
            Side.NOT_BEFORE,
            "expire_all timestamp should be >= current time",
            forwarded=FORWARDED_TOLERANCE_MS,
        ),
        recursive=True,
    )


class Expire(AccountRequest, frozen=True, kw_only=True, gc=False):
    """Change expiries: one for all messages, or as many as there are messages."""

    messages: tuple[str, ...]
    expiry: tuple[int, ...]
    shorten: bool = False
    extend: bool = False

    method: ClassVar[Method] = Method(
        "expire",
        "Set, lower or raise the expiries of single messages.",
        (
            _MESSAGES,
            Field("expiry", TIMESTAMPS, "one for all, or one for each message", required=True),
            Field("shorten", FLAG, "only lower", default=False),
            Field("extend", FLAG, "only raise", default=False),
        ),
        auth=Auth.ALWAYS,
        signs=("mode_text", "expiry", "messages"),
        signature_refusal="expire: signature verification failed",
        access=Access.WRITE,
        time=TimeRule("expiry", Side.NOT_BEFORE, "expire: timestamp should be >= current time", 401),
        recursive=True,
    )

    @property
    def mode_text(self) -> str:
        """The mode as it is signed."""
        return "shorten" if self.shorten else "extend" if self.extend else ""


class GetExpiries(AccountRequest, frozen=True, kw_only=True, gc=False):
    """Ask for the expiries of messages."""

    messages: tuple[str, ...]
    timestamp: int

    method: ClassVar[Method] = Method(
        "get_expiries",
        "Read the expiries of messages from this node.",
        (Field("messages", SOUGHT_HASHES, "hashes of any namespaces", required=True), _TIMESTAMP),
        auth=Auth.ALWAYS,
        signs=("timestamp", "messages"),
        signature_refusal="get_expiries signature verification failed",
        access=Access.READ,
        time=_near("get_expiries"),
    )


class RevokeSubaccount(AccountRequest, frozen=True, kw_only=True, gc=False):
    """Make subaccount tokens void."""

    tokens: tuple[bytes, ...]
    timestamp: int

    method: ClassVar[Method] = Method(
        "revoke_subaccount",
        "Make subaccount tokens void.",
        (Field("revoke", tokens_kind(MAX_TOKENS), "the tokens", attr="tokens", required=True), _TIMESTAMP),
        auth=Auth.ALWAYS,
        signs=("timestamp", "tokens"),
        signature_refusal="revoke_subaccount signature verification failed",
        time=_near("revoke_subaccount"),
        recursive=True,
    )


class UnrevokeSubaccount(AccountRequest, frozen=True, kw_only=True, gc=False):
    """Make revoked tokens valid again."""

    tokens: tuple[bytes, ...]
    timestamp: int

    method: ClassVar[Method] = Method(
        "unrevoke_subaccount",
        "Make revoked tokens valid again.",
        (Field("unrevoke", tokens_kind(MAX_TOKENS), "the tokens", attr="tokens", required=True), _TIMESTAMP),
        auth=Auth.ALWAYS,
        signs=("timestamp", "tokens"),
        signature_refusal="unrevoke_subaccount signature verification failed",
        time=_near("unrevoke_subaccount"),
        recursive=True,
    )


class Info(Request, frozen=True, kw_only=True):
    """Ask a node for its version and time."""

    method: ClassVar[Method] = Method("info", "The node's version and time.")


class GetSwarm(Request, frozen=True, kw_only=True, gc=False):
    """Ask which nodes keep an account's messages."""

    account: bytes

    method: ClassVar[Method] = Method(
        "get_swarm",
        "The nodes that keep an account's messages.",
        aliases=("get_snodes_for_pubkey",),
        pubkey_aliases=("pubKey",),
    )

    def to_json_params(self) -> dict[str, Any]:
        """Return the `params` a client sends."""
        return {PUBKEY: self.account.hex()}


class OxendRequest(Request, frozen=True, kw_only=True):
    """Ask the daemon behind a node; `endpoint` is `get_service_nodes` or `ons_resolve`."""

    endpoint: str
    params: Mapping[str, Any]

    method: ClassVar[Method] = Method(
        "oxend_request", "Ask the daemon behind the node: `endpoint` (`get_service_nodes`, `ons_resolve`) and `params`."
    )

    def to_json_params(self) -> dict[str, Any]:
        """Return the `params` a client sends."""
        return {"endpoint": self.endpoint, "params": dict(self.params)}


class Batch(Request, frozen=True, kw_only=True):
    """Do 1 to 20 requests in any order."""

    requests: tuple[Request, ...]

    method: ClassVar[Method] = Method("batch", "Do 1 to 20 `requests`, in any order.")

    def to_json_params(self) -> dict[str, Any]:
        """Return the `params` a client sends."""
        return {"requests": [to_json(request) for request in self.requests]}


class Sequence(Request, frozen=True, kw_only=True):
    """Do 1 to 20 requests one after another, until one fails."""

    requests: tuple[Request, ...]

    method: ClassVar[Method] = Method("sequence", "Do 1 to 20 `requests` in order, until one fails.")

    def to_json_params(self) -> dict[str, Any]:
        """Return the `params` a client sends."""
        return {"requests": [to_json(request) for request in self.requests]}


class Conditions(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Conditions on the node, of which all that are given must hold; versions have three parts."""

    hf_at_least: tuple[int, int, int] | None = None
    hf_before: tuple[int, int, int] | None = None
    v_at_least: tuple[int, int, int] | None = None
    v_before: tuple[int, int, int] | None = None
    height_at_least: int | None = None
    height_before: int | None = None

    def hold(self, *, hardfork: tuple[int, int], version: tuple[int, int, int], height: int) -> bool:
        """Tell whether a node with these properties fulfils them."""
        fork = (*hardfork, 0)
        return (
            (self.hf_at_least is None or fork >= self.hf_at_least)
            and (self.hf_before is None or fork < self.hf_before)
            and (self.v_at_least is None or version >= self.v_at_least)
            and (self.v_before is None or version < self.v_before)
            and (self.height_at_least is None or height >= self.height_at_least)
            and (self.height_before is None or height < self.height_before)
        )


class IfElse(Request, frozen=True, kw_only=True):
    """Do one request if all conditions hold, and another if not; at least one of the two is there."""

    conditions: Conditions
    then: Request | None = None
    otherwise: Request | None = None

    method: ClassVar[Method] = Method(
        "ifelse", "Do `then` if all conditions of `if` hold, and `else` if not; conditions: hf, v and height."
    )

    def to_json_params(self) -> dict[str, Any]:
        """Return the `params` a client sends."""
        given = {name: getattr(self.conditions, name) for name in self.conditions.__struct_fields__}
        params: dict[str, Any] = {"if": {name: value for name, value in given.items() if value is not None}}
        if self.then is not None:
            params["then"] = to_json(self.then)
        if self.otherwise is not None:
            params["else"] = to_json(self.otherwise)
        return params


def to_json(request: Request) -> dict[str, Any]:
    """Return {"method", "params"}: the body of `storage_rpc`, and a subrequest."""
    return {"method": request.method.name, "params": request.to_json_params()}


REQUESTS: Final[tuple[type[Request], ...]] = (
    Store,
    Retrieve,
    Delete,
    DeleteAll,
    DeleteBefore,
    ExpireAll,
    Expire,
    GetExpiries,
    RevokeSubaccount,
    UnrevokeSubaccount,
    Info,
    GetSwarm,
    OxendRequest,
    Batch,
    Sequence,
    IfElse,
)

METHODS: Final[Mapping[str, Method]] = MappingProxyType({kind.method.name: kind.method for kind in REQUESTS})

# Under every name a client may use, aliases included.
BY_NAME: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {name: kind for kind in REQUESTS for name in (kind.method.name, *kind.method.aliases)}
)
