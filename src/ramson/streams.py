"""Standard input, output and error, whatever the program was started with, and how a program of them ends.

A program that is started without one of them gives its number to the next file it opens: what is printed then goes
into that file, which may be the account.  Bytes that are no characters, and characters that the terminal cannot show,
stop nothing: what needs a text looks itself whether it is one.  A disk that is full is an error like others.  A pipe
that nobody reads any more is none: the program ends in silence, with the exit code that a shell gives for SIGPIPE.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Final

from ramson.errors import LocalError, RamsonError

FAILED: Final = 1
INTERRUPTED: Final = 130  # 128 and the number of the signal, as a shell says it
NOT_READ: Final = 141
_NO_SPACE: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def complete() -> bool:
    """Put the empty device in the place of standard streams that are missing; return whether output is there.

    From now on they take all characters, as Python has it by itself only where no language is set.
    """
    there = sys.stdout is not None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    sys.stdin = sys.stdin or os.fdopen(0, "r", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape" if sys.stdout.encoding.lower() == "utf-8" else "replace")
    return there


def say(text: str) -> None:
    """Write a line to standard output, at once.  Raises LocalError; BrokenPipeError where nobody reads any more."""
    with _writable():
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def mention(text: str) -> None:
    """Write a line to standard output for whoever waits for it, which may be nobody.  Raises LocalError."""
    try:
        say(text)
    except BrokenPipeError:
        discard_unwritten()


@contextlib.contextmanager
def ending(report: Callable[[RamsonError], None]) -> Iterator[None]:
    """End the program as the work in the block ended: with one line for an error, and with an exit code."""
    try:
        try:
            yield
        finally:
            with _writable():
                sys.stdout.flush()
    except RamsonError as error:
        report(error)
        code = FAILED
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = NOT_READ
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):  # what prints help and tables ends by itself
            discard_unwritten()
            raise
        code = NOT_READ
    except OSError as error:
        if error.filename is not None:
            what = f"the place {error.filename} cannot be used: {error.strerror}"
            report(LocalError(what, remedy="Choose another one."))
        elif error.errno in _NO_SPACE:
            report(_not_written(error))
        else:
            raise
        code = FAILED
    else:
        return
    discard_unwritten()
    sys.exit(code)


def discard_unwritten() -> None:
    """Throw away what cannot be written: the end of the program would try again, and complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def _writable() -> Iterator[None]:
    """Say what hinders writing.  Raises LocalError; BrokenPipeError passes, for somebody read enough."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _not_written(error) from None


def _not_written(error: OSError) -> LocalError:
    return LocalError(f"the result cannot be written: {error.strerror}", remedy="Write it elsewhere.")
