"""Where a network's signed node lists are to be found, and who signs them, as its description says.

Part of `network.json`; values and their JSON form only.  Spec: REACH *Finding nodes without the seeds*; ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from ramson.errors import ParseError
from ramson.protocol.node_list import BadList, ListAuthority

MAX_CHANNELS: Final = 16  # of each kind


@dataclass(frozen=True, slots=True)
class DnsChannel:
    """A DNS name whose TXT records hold a list, and the resolver (DNS over HTTPS, a URL) to ask for them."""

    name: str
    resolver: str


@dataclass(frozen=True, slots=True)
class ListChannels:
    """Who signs the lists, and the mirrors (URLs of directories) and DNS names that hold them."""

    authority: ListAuthority
    mirrors: tuple[str, ...] = ()
    dns: tuple[DnsChannel, ...] = ()


def from_document(document: Mapping[str, Any]) -> ListChannels:
    """Read `node_lists` of a network file.  Raises ParseError."""
    try:
        return ListChannels(
            ListAuthority(
                _text(document, "network"),
                frozenset(bytes.fromhex(signer) for signer in _texts(document, "signers")),
                _number(document, "needed"),
            ),
            tuple(_url(mirror) for mirror in _texts(document, "mirrors")),
            tuple(DnsChannel(_text(each, "name"), _url(_text(each, "resolver"))) for each in _list(document, "dns")),
        )
    except ValueError:
        raise ParseError("network file: a signer in `node_lists` is not written in hexadecimal digits") from None
    except BadList as error:
        raise ParseError(f"network file: `node_lists`: {error}") from None


def to_document(channels: ListChannels) -> dict[str, Any]:
    """Write `node_lists` of a network file."""
    return {
        "network": channels.authority.network,
        "signers": sorted(key.hex() for key in channels.authority.keys),
        "needed": channels.authority.needed,
        "mirrors": list(channels.mirrors),
        "dns": [{"name": each.name, "resolver": each.resolver} for each in channels.dns],
    }


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    value = document.get(name, [])
    if not isinstance(value, list) or len(value) > MAX_CHANNELS:
        raise ParseError(f"network file: `{name}` in `node_lists` is no list, or too long")
    return value


def _texts(document: Mapping[str, Any], name: str) -> list[str]:
    return [_text({name: each}, name) for each in _list(document, name)]


def _text(document: Any, name: str) -> str:
    value = document.get(name) if isinstance(document, Mapping) else None
    if not isinstance(value, str) or len(value) > 1000:
        raise ParseError(f"network file: `{name}` in `node_lists` is missing or no text")
    return value


def _number(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name, 0)
    if type(value) is not int:
        raise ParseError(f"network file: `{name}` in `node_lists` is no number")
    return value


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        fine = parts.scheme in {"https", "http"} and parts.hostname and parts.port != 0 and not parts.username
    except ValueError:
        fine = False
    if not fine:
        raise ParseError("network file: a mirror or resolver in `node_lists` is not http[s]://host[:port]/…")
    return text
