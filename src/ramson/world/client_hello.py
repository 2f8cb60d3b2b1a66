"""Cutting a TLS ClientHello, so that no filter finds the server's name in one record or one packet.

Pure: bytes in, bytes out.  Spec: RFC 8446 §4.1.2, §5.1 (a handshake message may be spread over records), RFC 6066 §3.

Theory of operation.  What OpenSSL wants to send is a row of records, each `type ‖ version ‖ length ‖ payload`.  One
that carries a whole ClientHello becomes two records with the same header fields, the cut in the middle of the name or,
without a name, of the hello.  Every TLS server joins them again.  All other records pass as they are.
"""

from __future__ import annotations

from typing import Final

_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_HEADER: Final = 5  # bytes of a record's header
_SERVER_NAME: Final = 0  # the extension's number


def segments(flight: bytes) -> list[bytes]:
    """Divide what is to be sent so that each ClientHello is cut; joined again it means the same.

    Each piece is to be sent in a packet of its own.
    """
    pieces = [b""]
    at = 0
    while at < len(flight):
        end = at + _HEADER + int.from_bytes(flight[at + 3 : at + _HEADER])
        record = flight[at:end]
        payload = record[_HEADER:]
        if _is_whole_hello(record):
            cut = _cut(payload)
            header = record[:3]
            pieces[-1] += header + cut.to_bytes(2) + payload[:cut]
            pieces.append(header + (len(payload) - cut).to_bytes(2) + payload[cut:])
        else:
            pieces[-1] += record
        at = end
    return pieces


def _is_whole_hello(record: bytes) -> bool:
    # an encrypted record may begin like a hello by chance, but not with its own length as well
    payload = record[_HEADER:]
    return (
        record[0] == _HANDSHAKE
        and payload[:1] == bytes([_CLIENT_HELLO])
        and payload[4:6] == b"\x03\x03"
        and int.from_bytes(payload[1:4]) == len(payload) - 4
    )


def _cut(hello: bytes) -> int:
    """Return how many bytes of the message go into the first record."""
    found = server_name(hello)
    if found is None:
        return len(hello) // 2
    start, end = found
    return start + max(1, (end - start) // 2)


def server_name(hello: bytes) -> tuple[int, int] | None:
    """Return where in a ClientHello message the host's name begins and ends; None if it names none."""
    at = 4 + 2 + 32  # message header, version, random
    at += 1 + hello[at] if at < len(hello) else 1  # session id
    at += 2 + int.from_bytes(hello[at : at + 2])  # cipher suites
    at += 1 + hello[at] if at < len(hello) else 1  # compression methods
    at += 2  # length of all extensions
    while at + 4 <= len(hello):
        kind, size = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        at += 4
        if kind == _SERVER_NAME:
            start = at + 5  # length of the list, type of the name, length of the name
            end = start + int.from_bytes(hello[at + 3 : start])
            return (start, end) if start < end <= min(at + size, len(hello)) else None
        at += size
    return None
