"""Onion requests: frames, the client's building of layers, a node's peeling of one, and the final reply.

No keys are chosen and nothing is sent here; the ciphers are `ramson.crypto.onion`'s.  Spec: onion.md with
its corrections, bootstrap-and-paths.md §2.4.

Theory of operation.  Every layer is a frame: length, blob, JSON.  The JSON beside a ciphertext says which
ephemeral key and cipher open it, so each hop learns its own from the layer before; the entry node learns
its from the POST body.  A layer's plaintext is again a frame, and its JSON says what the hop is:

    `headers` present   the destination; blob is the request     -> ForMe
    `host` present      relay to a server, the whole frame       -> ToServer
    otherwise           relay to `destination`, blob and key     -> ToNode

Between nodes the JSON becomes a bencoded dict with a hop counter.  The destination encrypts the reply once,
with the innermost key; nodes in between pass it on unread.

Which error means what: ParseError of `parse_entry` is 400 `Error parsing onion request: …`; ParseError of
`parse_inner` is the encrypted 400 `Invalid json` and its subclass ForbiddenTarget the encrypted 400
`Invalid url`; ParseError of `decode_hop` is 400 `Invalid internal onion request: …` and its subclass
PathTooLong the 400 that says so.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, Final, TypeAlias

from ramson.crypto.entropy import Entropy
from ramson.crypto.keys import X25519KeyPair
from ramson.crypto.onion import EncType, LayerCipher, client_cipher
from ramson.errors import LocalError, ParseError
from ramson.protocol import bt, strict_json

MAX_HOP_NO: Final = 15
# The entry accepts any number; this much is kept of it, so that it still fits an integer of the next leg.
_HOP_NO_CEILING: Final = 2**31 - 1

INVALID_JSON: Final = b"Invalid json"
INVALID_URL: Final = b"Invalid url"
INVALID_CIPHERTEXT: Final = b"Invalid ciphertext"
PATH_TOO_LONG: Final = b"onion request max path length exceeded"

_LENGTH = Struct("<I")
_KEY_SIZE = 32
# Visible ASCII without `?` and `#`, which would end the path before it has been judged.
_SERVER_TARGET = re.compile(r"/(?:loki|oxen)/(?:[!\"$->@-~]*/)?lsrpc")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_DEFAULT_PORT = {"https": 443, "http": 80}


class ForbiddenTarget(ParseError):
    """A relay to a server that no node may make: answered with `Invalid url`."""


class PathTooLong(ParseError):
    """The hop counter of the node-to-node leg exceeds 15."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A blob and the JSON object beside it."""

    blob: bytes = field(repr=False)
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """A ciphertext for this node and what opens it.  `hop_no` is the count received, at least 0 (entry) or 1."""

    ciphertext: bytes = field(repr=False)
    enc_type: EncType
    ephemeral: bytes
    hop_no: int


@dataclass(frozen=True, slots=True)
class ForMe:
    """This node is the destination.  `payload` is RPC JSON; the flags shape the reply."""

    payload: bytes = field(repr=False)
    as_json: bool = False
    base64: bool = True


@dataclass(frozen=True, slots=True)
class ToNode:
    """Relay `ciphertext` to the node with Ed25519 key `destination`; the rest is what that node needs to open it."""

    destination: bytes
    ciphertext: bytes = field(repr=False)
    enc_type: EncType
    ephemeral: bytes


@dataclass(frozen=True, slots=True)
class ToServer:
    """POST `frame`, the whole decrypted layer, to `protocol://host:port` + `target` as octet-stream."""

    host: str
    port: int
    protocol: str
    target: str
    frame: bytes = field(repr=False)


Inner: TypeAlias = ForMe | ToNode | ToServer


@dataclass(frozen=True, slots=True)
class NodeHop:
    """A node on a path by its two public keys, 32 bytes each."""

    ed25519: bytes
    x25519: bytes


@dataclass(frozen=True, slots=True)
class ServerDestination:
    """A server behind the last hop.  `target` is the server's onion endpoint, `/oxen/v4/lsrpc` as a rule.

    `protocol` is http or https, also in its
    spelling with `://`; a `port` of None is the protocol's own: 443 or 80.
    """

    host: str
    x25519: bytes
    target: str = "/oxen/v4/lsrpc"
    protocol: str = "https"
    port: int | None = None


@dataclass(frozen=True, slots=True)
class OnionRequest:
    """What to POST to the entry node's `/onion_req/v2`, and the cipher the reply will come in."""

    body: bytes = field(repr=False)
    reply: LayerCipher


@dataclass(frozen=True, slots=True)
class NodeReply:
    """A destination node's answer: its own status, and the body as UTF-8 (JSON or text)."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, Any] = field(default_factory=dict)


# ---- frames


def encode_frame(blob: bytes, options: Mapping[str, Any]) -> bytes:
    """Return length (4 bytes, little-endian) ‖ blob ‖ JSON with sorted keys."""
    return _LENGTH.pack(len(blob)) + blob + strict_json.encode(options)


def decode_frame(data: bytes) -> Frame:
    """Split a frame.  Raises ParseError for a bad length and for anything but one strict JSON object."""
    if len(data) < _LENGTH.size:
        raise ParseError("onion frame: shorter than its length field")
    end = _LENGTH.size + int(_LENGTH.unpack_from(data)[0])
    if end > len(data):
        raise ParseError("onion frame: shorter than its length field says")
    return Frame(data[_LENGTH.size : end], strict_json.decode_object(data[end:]))


# ---- the client


def build(
    path: Sequence[NodeHop],
    destination: NodeHop | ServerDestination,
    payload: bytes,
    *,
    entropy: Entropy,
    enc_type: EncType = EncType.XCHACHA20,
    hop_no: int = 0,
) -> OnionRequest:
    """Wrap `payload` for `destination`, to be sent to the first node of `path`.

    For a node, `payload` is RPC JSON, and with an empty path the destination is itself the entry; for a server
    it is a v4 request.  Randomness is drawn from the inside out: per layer 32 bytes of ephemeral key, then the
    nonce.  A `hop_no` above 0 hides from the second hop that the first is the entry; the whole path must stay
    below `MAX_HOP_NO`.  Raises LocalError, and ParseError for a key that is no X25519 point.
    """
    if not path and isinstance(destination, ServerDestination):
        raise LocalError("a server is reached through at least one node")
    if hop_no < 0 or hop_no + len(path) > MAX_HOP_NO:
        raise LocalError(f"a path has at most {MAX_HOP_NO} legs, counted from hop_no")

    if isinstance(destination, NodeHop):
        plaintext = encode_frame(payload, {"headers": ""})
        routing: dict[str, Any] = {"destination": destination.ed25519.hex()}
    else:
        plaintext = payload
        routing = _server_routing(destination)
    ephemeral, reply, ciphertext = _seal(plaintext, destination.x25519, enc_type, entropy)

    for hop in reversed(path):
        routing |= {"enc_type": str(enc_type), "ephemeral_key": ephemeral.hex()}
        ephemeral, _, ciphertext = _seal(encode_frame(ciphertext, routing), hop.x25519, enc_type, entropy)
        routing = {"destination": hop.ed25519.hex()}

    outer = {"enc_type": str(enc_type), "ephemeral_key": ephemeral.hex()}
    return OnionRequest(encode_frame(ciphertext, outer | ({"hop_no": hop_no} if hop_no else {})), reply)


def _server_routing(server: ServerDestination) -> dict[str, Any]:
    protocol = server.protocol.removesuffix("://")
    if protocol not in _DEFAULT_PORT:
        raise LocalError("a server is reached by http or https")
    return {
        "host": server.host,
        "method": "POST",
        "port": _DEFAULT_PORT[protocol] if server.port is None else server.port,
        "protocol": protocol,
        "target": server.target,
    }


def _seal(plaintext: bytes, x25519: bytes, enc_type: EncType, entropy: Entropy) -> tuple[bytes, LayerCipher, bytes]:
    ephemeral = X25519KeyPair.generate(entropy)
    cipher = client_cipher(enc_type, ephemeral, x25519)
    return ephemeral.public, cipher, cipher.encrypt(plaintext, entropy.randbytes(cipher.nonce_size))


def open_node_reply(reply: LayerCipher, body: bytes) -> NodeReply:
    """Open a destination node's reply: base64 of the sealed JSON, bare or as `{"result": …}`.

    Raises ParseError, also when `body` is another node's clear-text error: look at the HTTP status first.
    """
    text: Any = body
    if body[:1] == b"{":
        text = strict_json.decode_object(body).get("result")
        if not isinstance(text, str):
            raise ParseError("onion reply: an object without `result`")
    try:
        sealed = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise ParseError("onion reply: not base64") from None
    plaintext = reply.decrypt_reply(sealed)
    document = strict_json.decode_object(plaintext)
    status = document.get("status_code", document.get("status"))
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 999:
        raise ParseError("onion reply: no status")
    headers = document.get("headers")
    return NodeReply(status, _reply_body(document, plaintext), headers if isinstance(headers, dict) else {})


def _reply_body(document: Mapping[str, Any], plaintext: bytes) -> bytes:
    body = document.get("body")
    if body is None:
        return plaintext
    if isinstance(body, str):
        return body.encode()
    try:
        return strict_json.encode(body)
    except (TypeError, RecursionError):
        raise ParseError("onion reply: the body is nested too deeply") from None


# ---- the node


def parse_entry(body: bytes) -> Layer:
    """Read the POST body at the entry node.  Raises ParseError."""
    frame = decode_frame(body)
    enc_type, ephemeral = _opening(frame.options)
    hop_no = _number(frame.options, "hop_no", 0)
    return Layer(frame.blob, enc_type, ephemeral, max(0, min(hop_no, _HOP_NO_CEILING)))


def parse_inner(plaintext: bytes) -> Inner:
    """Read a decrypted layer.  Raises ParseError (`Invalid json`) and ForbiddenTarget (`Invalid url`)."""
    frame = decode_frame(plaintext)
    options = frame.options
    if "headers" in options:
        return ForMe(frame.blob, _flag(options, "json", default=False), _flag(options, "base64", default=True))
    if "host" in options:
        return _to_server(plaintext, options)
    destination = _key(options, "destination")
    enc_type, ephemeral = _opening(options)
    return ToNode(destination, frame.blob, enc_type, ephemeral)


def _to_server(plaintext: bytes, options: Mapping[str, Any]) -> ToServer:
    host, target = _text(options, "host"), _text(options, "target")
    protocol = _text(options, "protocol", "https")
    port = _number(options, "port", 443)
    if protocol not in _DEFAULT_PORT or not _SERVER_TARGET.fullmatch(target):
        raise ForbiddenTarget("onion relay: not an onion endpoint of a server")
    # spec gap: a host that could smuggle a path, user or query past the rule on targets, and impossible ports
    if not _HOST.fullmatch(host) or not 0 < port < 2**16:
        raise ForbiddenTarget("onion relay: neither a host name nor an address, or no port")
    return ToServer(host, port, protocol, target, plaintext)


def encode_hop(hop: ToNode, hop_no: int) -> bytes:
    """Write the node-to-node request.  `hop_no` is the value to send: this node's own plus one."""
    return bt.encode(
        {"data": hop.ciphertext, "enc_type": str(hop.enc_type), "ephemeral_key": hop.ephemeral, "hop_no": hop_no}
    )


def decode_hop(data: bytes) -> Layer:
    """Read the node-to-node request.  Raises ParseError, and PathTooLong for a `hop_no` above 15."""
    value, _ = bt.decode_prefix(data)
    if not isinstance(value, dict):
        raise ParseError("not a dict")
    ciphertext, enc_type = value.get(b"data"), value.get(b"enc_type")
    ephemeral, hop_no = value.get(b"ephemeral_key"), value.get(b"hop_no")
    if not isinstance(ciphertext, bytes):
        raise ParseError("`data` is missing or no string")
    if not isinstance(enc_type, bytes):
        raise ParseError("`enc_type` is missing or no string")
    if not isinstance(ephemeral, bytes) or len(ephemeral) != _KEY_SIZE:
        raise ParseError("`ephemeral_key` is missing or not 32 bytes")
    if not isinstance(hop_no, int):
        raise ParseError("`hop_no` is missing or no integer")
    if hop_no > MAX_HOP_NO:
        raise PathTooLong(PATH_TOO_LONG.decode())
    return Layer(ciphertext, EncType.parse(enc_type.decode("ascii", "replace")), ephemeral, max(1, hop_no))


def encode_node_reply(status: int, body: bytes, is_json: bool, options: ForMe) -> bytes:  # noqa: FBT001 - a contract
    """Write the plaintext of the destination's reply; `is_json` says that `body` is JSON, not text."""
    content = body if is_json and options.as_json else strict_json.encode(body.decode("utf-8", "replace"))
    return b'{"body":%b,"status":%d}' % (content, status)


def seal_reply(cipher: LayerCipher, plaintext: bytes, nonce: bytes, *, base64: bool = True) -> bytes:
    """Encrypt a reply's plaintext and, unless told otherwise, write it in base64."""
    sealed = cipher.encrypt(plaintext, nonce)
    return b64encode(sealed) if base64 else sealed


# ---- fields of a frame's JSON


def _opening(options: Mapping[str, Any]) -> tuple[EncType, bytes]:
    return EncType.parse(_text(options, "enc_type", "aes-gcm")), _key(options, "ephemeral_key")


def _text(options: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = options.get(name, default)
    if not isinstance(value, str):
        raise ParseError(f"`{name}` is missing or no string")
    return value


def _key(options: Mapping[str, Any], name: str) -> bytes:
    text = _text(options, name)
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_SIZE or len(text) != 2 * _KEY_SIZE:  # fromhex skips blanks
        raise ParseError(f"`{name}` is not 64 hexadecimal digits")
    return key


def _number(options: Mapping[str, Any], name: str, default: int) -> int:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ParseError(f"`{name}` is no number")
    return int(value)


def _flag(options: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise ParseError(f"`{name}` is no boolean")
    return value
