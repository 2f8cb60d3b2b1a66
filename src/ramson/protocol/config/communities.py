"""How configs keep communities: by server, then by room.

    `o`  {base URL → {`#` server key, `R` {room in lower case → entry}}}

Shared by ConvoInfoVolatile and UserGroups.  Spec: config-sync.md §4.7, §4.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ramson.crypto.keys import KEY_SIZE, require_size
from ramson.errors import ParseError
from ramson.protocol.community_url import canonical_base, canonical_room
from ramson.protocol.config import fields
from ramson.protocol.config.config import Config
from ramson.protocol.config.values import Data, Path, dict_at

_SECTION, _KEY, _ROOMS = b"o", b"#", b"R"


@dataclass(frozen=True, slots=True)
class Room:
    """A room of a server: canonical base URL, room in lower case, the server's 32-byte key."""

    base_url: str
    room: str
    key: bytes


def rooms(data: Data) -> Iterator[tuple[Room, Data]]:
    """Go through the rooms and their entries, by server and room; servers without a usable key are left out."""
    for url, server in sorted(dict_at(data, (_SECTION,)).items()):
        if not isinstance(server, Mapping):
            continue
        key = fields.octets(server, _KEY, KEY_SIZE)
        for token, entry in sorted(dict_at(server, (_ROOMS,)).items()):
            try:
                room = Room(canonical_base(url.decode()), canonical_room(token.decode()), key)
            except (ParseError, UnicodeDecodeError):
                continue
            if key and isinstance(entry, Mapping):
                yield room, entry


def find(data: Data, base_url: str, room: str) -> tuple[Room, Data] | None:
    """Return a room and its entry, or None.  Raises ParseError for what is not a URL or a room's name."""
    path = _path(base_url, room)
    key = fields.octets(dict_at(data, path[:2]), _KEY, KEY_SIZE)
    entry = dict_at(data, path)
    return (Room(path[1].decode(), path[3].decode(), key), entry) if key and entry else None


def put(config: Config, base_url: str, room: str, key: bytes, changes: fields.Changes) -> None:
    """Write a room's entry and its server's key.  Raises ParseError as `find`, LocalError for keys not of 32 bytes."""
    require_size("the key of a community's server", key)
    path = _path(base_url, room)
    config.edit(path, changes)
    config.edit(path[:2], {_KEY: key})


def erase(config: Config, base_url: str, room: str) -> bool:
    """Remove a room, and with a server's last room the server; return whether it was there."""
    path = _path(base_url, room)
    erased = config.edit(path[:3], {path[3]: None})
    if erased and not dict_at(config.data, path[:3]):
        config.edit(path[:1], {path[1]: None})
    return erased


def _path(base_url: str, room: str) -> Path:
    return (_SECTION, canonical_base(base_url).encode(), _ROOMS, canonical_room(room).encode())
