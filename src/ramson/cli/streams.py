"""Standard input, output and error, whatever the program was started with.

A program that is started without one of them gives its number to the next file it opens: what is printed then goes
into that file, which may be the account.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

from ramson.errors import LocalError


def complete() -> bool:
    """Put the empty device in the place of standard streams that are missing; return whether output is there."""
    there = sys.stdout is not None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    sys.stdin = sys.stdin or os.fdopen(0, "r", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    return there


@contextlib.contextmanager
def writable() -> Iterator[None]:
    """Say what hinders writing a result.  Raises LocalError; BrokenPipeError passes, for somebody read enough."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise LocalError(f"the result cannot be written: {error.strerror}", remedy="Write it elsewhere.") from None
