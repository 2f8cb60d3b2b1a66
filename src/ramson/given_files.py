"""Files that a person names: read up to a bound, and every way to fail is one sentence.

What is named may be anything: a directory, a device that never ends, another program's file.
"""

from __future__ import annotations

import os
from pathlib import Path

from ramson.errors import LocalError, ParseError
from ramson.protocol import network_file
from ramson.protocol.network_file import NetworkFile

NETWORK_REMEDY = "Say mainnet, testnet, or a network.json file."


def read(path: str | os.PathLike[str], most: int, *, what: str, remedy: str = "Check the path.") -> bytes:
    """Return a file's content, `most` bytes at most; `what` names it in errors.  Raises LocalError."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = getattr(error, "strerror", None) or "that is no file's name"
        raise LocalError(f"{what} cannot be read: {why}", remedy=remedy) from None
    if len(content) > most:
        raise LocalError(f"{what} is too large: at most {most} bytes are read", remedy=remedy)
    return content


def read_network(path: str | os.PathLike[str]) -> NetworkFile:
    """Return the description of a network in a file.  Raises LocalError."""
    if not os.fspath(path):
        raise LocalError("the name of the network is empty", remedy=NETWORK_REMEDY)
    content = read(path, network_file.MAX_SIZE, what=f"the network file {os.fspath(path)}", remedy=NETWORK_REMEDY)
    try:
        return network_file.parse(content)
    except ParseError as error:
        raise LocalError(f"the file {os.fspath(path)} describes no network: {error}", remedy=NETWORK_REMEDY) from None
