"""What opens an account that exists: the key in the keyring if it has one there, otherwise its passphrase."""

from __future__ import annotations

from pathlib import Path

from ramson.bot.account_secret import read_passphrase
from ramson.messenger import keyring_keys


def account_passphrase(path: Path, file: Path | None) -> str:
    """Take what opens an account; a passphrase comes from the file, or else from the environment or the person.

    Raises LocalError.
    """
    if file is None and keyring_keys.is_guarded(path):
        return keyring_keys.key_of(path)
    return read_passphrase(file)
