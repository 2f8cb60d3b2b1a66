"""Where a passphrase comes from: a file, the environment, or a person.

It never comes from the arguments, which every user of the machine can read.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ramson.errors import LocalError

PASSPHRASE_VARIABLE: Final = "RAMSON_PASSPHRASE"  # noqa: S105 - the name of one
LONGEST_SECRET: Final = 4096  # bytes of a passphrase file


def read_passphrase(
    file: Path | None,
    *,
    new: bool = False,
    what: str = "the account file",
    variable: str = PASSPHRASE_VARIABLE,
    option: str = "--passphrase-file",
) -> str:
    """Take the passphrase of `what` from a file, the environment or the person, who types a `new` one twice.

    `variable` and `option` are where a program can give it.  Raises LocalError if there is nobody to ask.
    """
    if file is not None:
        return _of_file(file)
    if passphrase := os.environ.get(variable):
        return passphrase
    if not sys.stdin.isatty():
        raise LocalError(
            "there is no terminal to ask for the passphrase at",
            remedy=f"Set {variable}, or name a file with {option}.",
        )
    answer = ask(f"Choose a passphrase for {what}: " if new else f"Passphrase of {what}: ")
    while new and ask("Repeat for confirmation: ") != answer:
        sys.stderr.write("The two differ.\n")
        answer = ask(f"Choose a passphrase for {what}: ")
    return answer


def ask(question: str) -> str:
    """Have a person type a secret, which is not shown.  Raises LocalError if they end the input instead."""
    try:
        with ctrl_c_at_once():
            return getpass.getpass(question)
    except EOFError:
        sys.stderr.write("\n")
        raise LocalError("nothing was typed", remedy="Run it again.") from None


@contextlib.contextmanager
def ctrl_c_at_once() -> Iterator[None]:
    """Let Ctrl-C end a question, also within an event loop, which would wait for the answer first."""
    if threading.current_thread() is not threading.main_thread():  # signals are no affair of others
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_SECRET + 1)
        text = content.decode()
    except OSError as error:
        raise LocalError(f"the passphrase file cannot be read: {error.strerror}", remedy="Check the path.") from None
    except UnicodeDecodeError:
        raise LocalError("the passphrase file is not UTF-8 text") from None
    if len(content) > LONGEST_SECRET:
        raise LocalError(f"the passphrase file is longer than {LONGEST_SECRET} bytes")
    return text.rstrip("\r\n")
