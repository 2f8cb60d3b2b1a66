"""From decoded JSON or bencode to typed storage requests, or to the refusal the caller gets.

It checks what can be known without the node: kinds, ranges, what must be given and what excludes what.  It never
looks at clocks, swarms or signatures.  Spec: storage-rpc.md §2–5, node/CORRECTIONS.md.

Theory of operation.  For each method, encoding and kind of network a plan is made from the declaration at import:
which key to look up, its other spellings, the reader of its kind, and the attribute the value goes to.  Parsing walks
the plan and then runs the method's own rule (`_FINISH`).  The parameters of authentication are read only where they
count: an unsigned store ignores them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, cast

import msgspec

from ramson.errors import ParseError
from ramson.protocol import bt
from ramson.protocol.namespaces import anyone_may_read
from ramson.protocol.storage import requests as r
from ramson.protocol.storage.declaration import (
    ED25519_FIELD,
    PUBKEY,
    SIGNATURE_FIELD,
    SUBACCOUNT_FIELD,
    SUBACCOUNT_SIG_FIELD,
    Auth,
    Field,
)
from ramson.protocol.storage.json_document import decode_json
from ramson.protocol.storage.kinds import ACCOUNT, TESTNET_ACCOUNT, Kind, Misfit
from ramson.protocol.storage.limits import MAX_INT, MAX_NESTING, MAX_SUBREQUESTS, SESSION_PREFIX
from ramson.protocol.storage.refusal import INVALID, BadRequest, invalid, missing

OXEND_ENDPOINTS: Final = frozenset({"get_service_nodes", "ons_resolve"})
NO_REQUESTS: Final = 'Invalid batch request: no valid "requests" field'


class Encoding(Enum):
    """How a request came, and how its reply goes."""

    JSON = "json"
    BT = "bencode"


class _Read(NamedTuple):
    """How to read one parameter.  Keys are text for JSON and bytes for bencode."""

    key: Any
    aliases: tuple[Any, ...]
    read: Callable[[Any], Any]
    name: str
    attribute: str
    wanted: str
    required: bool


def parse_rpc_json(body: bytes, *, testnet: bool) -> r.Request:
    """Read {"method", "params"}: the body of `storage_rpc` and the payload of an onion request.  Raises BadRequest."""
    try:
        document = decode_json(body)
    except ParseError:
        raise BadRequest("invalid json") from None
    if document.__class__ is not dict or (name := document.get("method")).__class__ is not str:
        raise BadRequest("invalid json: no `method` field")
    params = document.get("params")
    if params.__class__ is not dict:
        raise BadRequest("invalid json: no `params` field")
    return parse(name, params, Encoding.JSON, testnet=testnet)


def parse(name: str, params: Mapping[Any, Any], encoding: Encoding, *, testnet: bool) -> r.Request:
    """Read the parameters of one method, called by any of its names.

    `params` has text keys (JSON) or bytes keys (bencode).  Raises BadRequest.
    """
    return _parse(name, params, encoding, testnet=testnet, depth=0)


def _parse(name: str, params: Mapping[Any, Any], encoding: Encoding, *, testnet: bool, depth: int) -> r.Request:
    kind = r.BY_NAME.get(name)
    if kind is None:
        raise BadRequest(f"no method {name}")
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(_Source(params, encoding, testnet, depth))
    values = _read_all(_PLANS[kind][2 * (encoding is Encoding.BT) + testnet], params)
    if kind is r.GetSwarm:
        return r.GetSwarm(account=values["account"])
    finish = _FINISH.get(kind)
    if finish is not None:
        finish(values, params, encoding)
    if kind.method.auth is Auth.ALWAYS:
        values["credentials"] = _credentials(
            values["account"], params, encoding, subaccounts=kind.method.access is not None
        )
    return kind(**values)


def parse_omq(name: str, parts: Sequence[bytes], *, testnet: bool) -> tuple[r.Request, Encoding]:
    """Read the data parts of an OxenMQ request `storage.<name>`: none, JSON, or a bencoded dict.  Raises BadRequest."""
    if len(parts) > 1:
        raise BadRequest(f"Invalid request: expected 1 message parts, received {len(parts)}")
    params, encoding = decode_body(parts[0] if parts else b"")
    return parse(name, params, encoding, testnet=testnet), encoding


def body_encoding(body: bytes) -> Encoding:
    """Tell in which encoding a body is, and so its reply."""
    return Encoding.BT if body[:1] == b"d" else Encoding.JSON


def decode_body(body: bytes) -> tuple[dict[Any, Any], Encoding]:
    """Read parameters in whichever encoding they are; empty means none.  Raises BadRequest."""
    if body[:1] == b"d":
        try:
            # Bytes after the dict are ignored.
            return cast("dict[Any, Any]", bt.decode_prefix(body)[0]), Encoding.BT
        except bt.UnorderedKeys as error:
            raise invalid(str(error)) from None
        except ParseError:
            raise BadRequest("request failed", 500) from None
    try:
        document = decode_json(body) if body else {}
    except ParseError:
        raise BadRequest("invalid body: expected json or bt_dict") from None
    return document if document.__class__ is dict else {}, Encoding.JSON


def _read_all(plan: tuple[_Read, ...], params: Mapping[Any, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    lookup = params.get
    for entry in plan:
        value = lookup(entry.key)
        name = entry.name
        for alias in entry.aliases:
            other = lookup(alias)
            if other is not None:
                if value is not None:
                    raise invalid(f"Cannot specify both '{_spell(entry.key)}' and '{_spell(alias)}'")
                value, name = other, _spell(alias)
        if value is None:
            if entry.required:
                raise missing(name)
            continue
        try:
            values[entry.attribute] = entry.read(value)
        except Misfit as misfit:
            raise invalid(f"Invalid value for '{name}': {misfit}") from None
        except ValueError:
            raise invalid(f"Invalid value for '{name}': expected {entry.wanted}") from None
    return values


def _spell(key: str | bytes) -> str:
    return key if isinstance(key, str) else key.decode()


def _read_one(field: Field, params: Mapping[Any, Any], encoding: Encoding) -> Any:
    """Read a parameter outside any plan; None when it is absent."""
    json = encoding is Encoding.JSON
    value = params.get(field.name if json else field.name.encode())
    if value is None:
        return None
    try:
        return field.kind.from_json(value) if json else field.kind.from_bt(value)
    except ValueError:
        raise invalid(f"Invalid value for '{field.name}': expected {field.kind.wanted}") from None


def _credentials(account: bytes, params: Mapping[Any, Any], encoding: Encoding, *, subaccounts: bool) -> r.Credentials:
    signature = _read_one(SIGNATURE_FIELD, params, encoding)
    if signature is None:
        raise missing(SIGNATURE_FIELD.name)
    ed25519 = _read_one(ED25519_FIELD, params, encoding)
    if ed25519 is not None and account[0] != SESSION_PREFIX:
        raise invalid("pubkey_ed25519 is only permitted for an account of the prefix 05")
    return r.Credentials(signature, ed25519, _subaccount(params, encoding) if subaccounts else None)


def _subaccount(params: Mapping[Any, Any], encoding: Encoding) -> r.Subaccount | None:
    given = params.get("subaccount" if encoding is Encoding.JSON else b"subaccount")
    if given in (None, "", b""):
        return None
    try:
        token = _read_one(SUBACCOUNT_FIELD, params, encoding)
    except BadRequest:
        raise invalid(f"invalid subaccount: expected {SUBACCOUNT_FIELD.kind.wanted}") from None
    signature = _read_one(SUBACCOUNT_SIG_FIELD, params, encoding)
    if signature is None:
        raise invalid("invalid subaccount: subaccount_sig is required when using subaccount")
    return r.Subaccount(token, signature)


# ---- rules of single methods


def _given(params: Mapping[Any, Any], encoding: Encoding, name: str) -> bool:
    return params.get(name if encoding is Encoding.JSON else name.encode()) is not None


def _finish_store(values: dict[str, Any], params: Mapping[Any, Any], encoding: Encoding) -> None:
    ttl = values.pop("ttl", None)
    if ttl is not None:
        if "expiry" in values:
            raise invalid("Cannot specify both 'expiry' and 'ttl'")
        values["expiry"] = values["timestamp"] + ttl
    elif "expiry" not in values:
        raise invalid("Required field 'expiry' or 'ttl' missing")
    if _given(params, encoding, "signature"):
        values["credentials"] = _credentials(values["account"], params, encoding, subaccounts=True)


def _finish_retrieve(values: dict[str, Any], params: Mapping[Any, Any], encoding: Encoding) -> None:
    private = "namespace" in values and not anyone_may_read(values["namespace"])
    if private or any(_given(params, encoding, name) for name in ("signature", "timestamp", "pubkey_ed25519")):
        values["credentials"] = _credentials(values["account"], params, encoding, subaccounts=True)
        if "timestamp" not in values:
            raise missing("timestamp")


def _finish_expire(values: dict[str, Any], _params: Mapping[Any, Any], _encoding: Encoding) -> None:
    if values.get("shorten") and values.get("extend"):
        raise invalid("Cannot specify both 'shorten' and 'extend'")
    if len(values["expiry"]) not in {1, len(values["messages"])}:
        raise invalid("Invalid value for 'expiry': a list must be as long as 'messages'")


_FINISH: Final[Mapping[type[r.Request], Callable[[dict[str, Any], Mapping[Any, Any], Encoding], None]]] = {
    r.Store: _finish_store,
    r.Retrieve: _finish_retrieve,
    r.Expire: _finish_expire,
}

# ---- methods that are not lists of fields


class _Source(NamedTuple):
    """Where a request is read from, and how deep inside others it is."""

    params: Mapping[Any, Any]
    encoding: Encoding
    testnet: bool
    depth: int

    def get(self, name: str) -> Any:
        return self.params.get(name if self.encoding is Encoding.JSON else name.encode())


def _text(value: Any, encoding: Encoding) -> str | None:
    """Take a decoded string of either encoding for text; None for anything else."""
    if encoding is Encoding.JSON:
        return value if isinstance(value, str) else None
    try:
        return value.decode() if isinstance(value, bytes) else None
    except UnicodeDecodeError:
        return None


def _parse_info(_source: _Source) -> r.Info:
    return _INFO


def _parse_oxend(source: _Source) -> r.OxendRequest:
    given = source.get("endpoint")
    if given is None:
        raise missing("endpoint")
    endpoint = _text(given, source.encoding)
    if endpoint is None:
        raise invalid("Invalid value for 'endpoint': expected a string")
    if endpoint not in OXEND_ENDPOINTS:
        raise invalid(f"Invalid oxend endpoint '{endpoint}'")
    params = source.get("params")
    if params is not None and source.encoding is Encoding.BT:
        try:
            params = decode_json(params) if isinstance(params, bytes) else ()
        except ParseError:
            params = ()
    if params is None:
        params = {}
    if not isinstance(params, dict) or not _writable(params):
        raise invalid("Invalid value for 'params': expected an object (bencode: as a JSON string)")
    return r.OxendRequest(endpoint=endpoint, params=params)


def _writable(document: Any) -> bool:
    """Tell whether a document can be written again: what is too deep for that is too deep for the daemon."""
    try:
        msgspec.json.encode(document)
    except (TypeError, RecursionError):
        return False
    return True


def _subrequest(document: Any, source: _Source, what: str) -> r.Request:
    if not isinstance(document, dict):
        raise invalid(f"{what}: expected a request")
    json = source.encoding is Encoding.JSON
    name = _text(document.get("method" if json else b"method"), source.encoding)
    params = document.get("params" if json else b"params")
    if name is None:
        raise invalid(f"{what}: no `method` field")
    if not isinstance(params, dict):
        raise invalid(f"{what}: no `params` field")
    try:
        return _parse(name, params, source.encoding, testnet=source.testnet, depth=source.depth + 1)
    except BadRequest as refusal:
        raise invalid(f"{what}: {refusal.text.removeprefix(INVALID)}") from None


def _subrequests(source: _Source) -> tuple[r.Request, ...]:
    documents = source.get("requests")
    if not isinstance(documents, list) or not documents:
        raise invalid(NO_REQUESTS)
    if len(documents) > MAX_SUBREQUESTS:
        raise invalid(f"Invalid batch request: more than {MAX_SUBREQUESTS} requests")
    parsed = []
    for document in documents:
        request = _subrequest(document, source, "Invalid batch request")
        if isinstance(request, r.Batch | r.Sequence | r.IfElse):
            raise invalid(f"Invalid batch request: {request.method.name} is not allowed in a batch or sequence")
        parsed.append(request)
    return tuple(parsed)


def _parse_batch(source: _Source) -> r.Batch:
    return r.Batch(requests=_subrequests(source))


def _parse_sequence(source: _Source) -> r.Sequence:
    return r.Sequence(requests=_subrequests(source))


def _parse_ifelse(source: _Source) -> r.IfElse:
    if source.depth > MAX_NESTING:
        raise invalid("Invalid ifelse request: nested too deeply")
    document = source.get("if")
    if not isinstance(document, dict):
        raise invalid("Invalid ifelse request: no valid `if` field")
    conditions: dict[str, Any] = {}
    for name in r.Conditions.__struct_fields__:
        value = document.get(name if source.encoding is Encoding.JSON else name.encode())
        if value is not None:
            conditions[name] = _integer(value, name) if name.startswith("height") else _version(value, name)
    if not conditions:
        raise invalid("Invalid ifelse request: no known condition in `if`")
    then, otherwise = (
        None if branch is None else _subrequest(branch, source, f"Invalid ifelse request: `{name}`")
        for name, branch in (("then", source.get("then")), ("else", source.get("else")))
    )
    if then is None and otherwise is None:
        raise invalid("Invalid ifelse request: neither `then` nor `else`")
    return r.IfElse(conditions=r.Conditions(**conditions), then=then, otherwise=otherwise)


def _integer(value: Any, name: str) -> int:
    if value.__class__ is not int or not 0 <= value <= MAX_INT:
        raise invalid(f"Invalid value for '{name}': expected an integer, 0 or more")
    number: int = value
    return number


def _version(value: Any, name: str) -> tuple[int, ...]:
    parts = value if isinstance(value, list) else [value]
    if not 1 <= len(parts) <= 3:
        raise invalid(f"Invalid value for '{name}': expected 1 to 3 integers")
    return tuple([_integer(part, name) for part in parts] + [0] * (3 - len(parts)))


_INFO: Final = r.Info()

_SPECIAL: Final[Mapping[type[r.Request], Callable[[_Source], r.Request]]] = {
    r.Info: _parse_info,
    r.OxendRequest: _parse_oxend,
    r.Batch: _parse_batch,
    r.Sequence: _parse_sequence,
    r.IfElse: _parse_ifelse,
}

# ---- plans


def _plan(kind: type[r.Request], encoding: Encoding, *, testnet: bool) -> tuple[_Read, ...]:
    def entry(name: str, aliases: tuple[str, ...], value: Kind, attribute: str, *, required: bool) -> _Read:
        if encoding is Encoding.JSON:
            return _Read(name, aliases, value.from_json, name, attribute, value.wanted, required)
        spelled = tuple(alias.encode() for alias in aliases)
        return _Read(name.encode(), spelled, value.from_bt, name, attribute, value.wanted, required)

    account = entry(
        PUBKEY, kind.method.pubkey_aliases, TESTNET_ACCOUNT if testnet else ACCOUNT, "account", required=True
    )
    fields = [
        entry(field.name, field.aliases, field.kind, field.attribute, required=field.required)
        for field in kind.method.fields
    ]
    if kind is r.Store:  # the order in which missing fields are looked for
        return (fields[0], account, *fields[1:])
    return (account, *fields)


# Two for JSON and two for bencode, of which the second is that of the test network.
_PLANS: Final[Mapping[type[r.Request], tuple[tuple[_Read, ...], ...]]] = {
    kind: tuple(_plan(kind, encoding, testnet=testnet) for encoding in Encoding for testnet in (False, True))
    for kind in r.REQUESTS
    if kind not in _SPECIAL
}
