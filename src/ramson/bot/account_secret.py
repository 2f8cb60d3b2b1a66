"""Where a bot's passphrase comes from: a file, the environment, or a person; never the arguments."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Final

from ramson.errors import LocalError

PASSPHRASE_VARIABLE: Final = "RAMSON_PASSPHRASE"  # noqa: S105 - the name of one
LONGEST_SECRET: Final = 4096  # bytes


def read_passphrase(file: Path | None, *, new: bool) -> str:
    """Return the passphrase of an account file, which for a `new` one a person types twice.  Raises LocalError."""
    if file is not None:
        return _of_file(file)
    if passphrase := os.environ.get(PASSPHRASE_VARIABLE):
        return passphrase
    if not sys.stdin.isatty():
        raise LocalError(
            "there is no passphrase for the account file",
            remedy=f"Set {PASSPHRASE_VARIABLE}, or name a file with --passphrase-file or passphrase_file=….",
        )
    answer = getpass.getpass("Choose a passphrase for the account file: " if new else "Passphrase: ")
    if new and getpass.getpass("Again: ") != answer:
        raise LocalError("the two passphrases differ")
    return answer


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_SECRET + 1)
        text = content.decode()
    except OSError as error:
        raise LocalError(f"the passphrase file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LocalError("the passphrase file is not UTF-8 text") from None
    if len(content) > LONGEST_SECRET:
        raise LocalError(f"the passphrase file is longer than {LONGEST_SECRET} bytes")
    return text.rstrip("\r\n")
