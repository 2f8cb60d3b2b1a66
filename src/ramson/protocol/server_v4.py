"""Requests to servers through onion paths, version 4: a request line and a body as a bencoded list.

Communities, file servers and push servers speak it; how it travels is `onion`'s.  Spec:
bootstrap-and-paths.md §2.6, vectors `server_payload` and `response_v4`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ramson.crypto.onion import LayerCipher
from ramson.errors import ParseError
from ramson.protocol import bt, strict_json

# A browser or library name would tell the server what sent the request.
_DROPPED_HEADERS = frozenset({"user-agent"})


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """One HTTP-like request.

    `endpoint` begins with `/` and holds the query.  Without a body it is None, which is not the same as empty.
    """

    method: str
    endpoint: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ServerResponse:
    """A server's answer; without a body it is None.  Choose the parser by `content-type`."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)


def encode_request(request: ServerRequest) -> bytes:
    """Write the payload for a `ServerDestination`.

    A body without a Content-Type is announced as JSON; User-Agent is dropped.
    """
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _DROPPED_HEADERS}
    if request.body is not None and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/json"
    line = strict_json.encode({"endpoint": request.endpoint, "headers": headers, "method": request.method})
    return bt.encode([line] if request.body is None else [line, request.body])


def decode_request(data: bytes) -> ServerRequest:
    """Read a payload at the server; header names become lower case.  Raises ParseError."""
    line, body = _parts(data)
    method, endpoint = line.get("method"), line.get("endpoint")
    if not isinstance(method, str) or not isinstance(endpoint, str):
        raise ParseError("server request: no method or no endpoint")
    return ServerRequest(method, endpoint, _headers(line), body)


def encode_response(response: ServerResponse) -> bytes:
    """Write a server's answer: always two strings; header names are written in lower case."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return bt.encode([strict_json.encode({"code": response.code, "headers": headers}), response.body or b""])


def decode_response(data: bytes) -> ServerResponse:
    """Read a decrypted answer.  Raises ParseError."""
    line, body = _parts(data)
    code = line.get("code")
    if type(code) is not int or not 100 <= code <= 999:
        raise ParseError("server response: no code")
    return ServerResponse(code, _headers(line), body)


def open_response(reply: LayerCipher, body: bytes) -> ServerResponse:
    """Decrypt and read a server's answer as it came from the entry node: raw bytes.  Raises ParseError."""
    return decode_response(reply.decrypt_reply(body))


def _parts(data: bytes) -> tuple[dict[str, Any], bytes | None]:
    parts = bt.decode(data)
    if not isinstance(parts, list) or len(parts) not in {1, 2}:
        raise ParseError("server message: not a list of one or two strings")
    line, body = parts[0], parts[1] if len(parts) == 2 else None
    if not isinstance(line, bytes) or not isinstance(body, bytes | None):
        raise ParseError("server message: not a list of one or two strings")
    return strict_json.decode_object(line), body


def _headers(line: Mapping[str, Any]) -> dict[str, str]:
    headers = line.get("headers")
    if headers is None:
        return {}
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise ParseError("server message: `headers` is not an object of texts")
    return {name.lower(): value for name, value in headers.items()}
