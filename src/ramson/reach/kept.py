"""Where a person's wishes about the way out are kept: two files and some variables of the environment.

    RAMSON_REACH      the settings file; otherwise ~/.config/ramson/reach.toml, if there is one
    RAMSON_ROUTE      as `route` in it
    RAMSON_PROXY      the address of a proxy, which is then the only way out unless a route is said
    RAMSON_BRIDGE     the link of a bridge, in place of those kept
    RAMSON_COUNTRY    as `country` in it

Besides, the bridges that `ramson bridge add` keeps are known, and the path that `ramson path --pin` keeps.  A file is
refused while others can read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ramson.errors import LocalError
from ramson.network.cache import FileCache
from ramson.reach import bridge_book
from ramson.reach.private_file import read_private
from ramson.reach.settings import MAX_FILE, ReachSettings, parse

FILE: Final = "reach.toml"
PIN_FILE: Final = "pinned-path"  # Ed25519 keys of three nodes, in hex; a network that lacks them makes nothing of it

_PIN: Final = re.compile(rb"(?:[0-9a-f]{64}\s){3}")


def load(environment: Mapping[str, str], *, file: Path | None = None, proxy_file: Path | None = None) -> ReachSettings:
    """Return what files and environment say; `file` and `proxy_file` count more.  Raises LocalError, ParseError."""
    directory = settings_directory(environment)
    named = file or (Path(environment["RAMSON_REACH"]) if environment.get("RAMSON_REACH") else None)
    usual = directory / FILE
    data = (
        read_private(named, MAX_FILE + 1)
        if named is not None
        else read_private(usual, MAX_FILE + 1)
        if usual.exists()
        else b""
    )
    bridges = tuple(each.link for each in bridge_book.load(directory / bridge_book.FILE))
    proxy = environment.get("RAMSON_PROXY") if proxy_file is None else _text(proxy_file)
    found = replace(parse(data, bridges=bridges), path=pinned_path(directory))
    return found.changed(
        route=environment.get("RAMSON_ROUTE"),
        proxy=proxy,
        bridge=environment.get("RAMSON_BRIDGE"),
        country=environment.get("RAMSON_COUNTRY"),
    )


def settings_directory(environment: Mapping[str, str]) -> Path:
    """Return where settings are kept."""
    return Path(environment.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "ramson"


def pinned_path(directory: Path) -> tuple[bytes, ...]:
    """Return the keys of the path that was pinned, none if none was.  Raises LocalError."""
    path = directory / PIN_FILE
    if not path.exists():
        return ()
    data = _read(path)
    if not _PIN.fullmatch(data):
        raise LocalError(f"{path} is not what was written there", remedy="Run: ramson path --unpin")
    return tuple(bytes.fromhex(key.decode()) for key in data.split())


def pin_path(directory: Path, keys: Sequence[bytes]) -> None:
    """Keep a path (Ed25519 keys of guard, middle and last) for the next starts.  Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    FileCache(directory / PIN_FILE).save("".join(f"{key.hex()}\n" for key in keys).encode())


def unpin_path(directory: Path) -> None:
    """Forget the pinned path."""
    (directory / PIN_FILE).unlink(missing_ok=True)


def _text(path: Path) -> str:
    try:
        text = _read(path).decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text:  # an empty one must not mean the straight way
        raise LocalError(f"there is no address of a proxy in {path}")
    return text


def _read(path: Path) -> bytes:
    return read_private(path, MAX_FILE + 1)
