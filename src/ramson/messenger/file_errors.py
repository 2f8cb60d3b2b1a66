"""What a file server refuses, as errors that say what to do.

Spec: files-and-push.md §7.2.
"""

from __future__ import annotations

from typing import Final

from ramson.errors import RemoteError

PASSING: Final = frozenset({429, 500, 502, 503, 504})  # what a server may get over


class FileError(RemoteError):
    """A file server did not do what was asked; `status` is its code."""

    def __init__(self, message: str, status: int, *, remedy: str = "Try again later.") -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


class FileGone(FileError):
    """The file has expired or never was; asking again is of no use."""

    def __init__(self) -> None:
        super().__init__("the file is no longer on the server", 404, remedy="Ask for it to be sent again.")


def refusal(code: int) -> FileError:
    """Make the error of a server's code."""
    match code:
        case 404:
            return FileGone()
        case 413:
            return FileError("the file is too large for the server", code, remedy="Make it smaller or split it.")
        case 507:
            return FileError("the server has no room left", code)
        case 429:
            return FileError("the server is asked too often", code)
    return FileError(f"the file server answered {code}", code)
