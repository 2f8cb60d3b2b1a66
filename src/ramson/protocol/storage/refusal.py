"""The one way in which a storage request is refused before anything is done for it.

Spec: storage-rpc.md §5.
"""

from __future__ import annotations

from typing import Final

from ramson.errors import ParseError

INVALID: Final = "invalid request: "  # the beginning of every refusal of wrong parameters


class BadRequest(ParseError):
    """A request that cannot be understood; `status` and `text` are what the caller is told."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def invalid(detail: str) -> BadRequest:
    """Make the refusal of a request whose parameters are wrong."""
    return BadRequest(INVALID + detail)


def missing(name: str) -> BadRequest:
    """Make the refusal of a request without a required parameter."""
    return BadRequest(f"{INVALID}Required field '{name}' missing")
