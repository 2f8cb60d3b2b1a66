"""A key in the system's keyring instead of a passphrase: whoever is logged in opens the account without being asked.

The key is 32 random bytes, as hex, and is used where a passphrase would be.  The keyring keeps it under the service
`ramson` and a random name that only the account's key file knows; it learns nothing of the account.  The package
`keyring` finds the keyring: Secret Service, KWallet, the macOS Keychain.  Keyrings that keep keys unsealed are refused.

Spec: none (local); app-features.md, app password.
"""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from ramson.crypto.account import AccountKeys
from ramson.crypto.entropy import Entropy
from ramson.errors import LocalError
from ramson.messenger import account, vault
from ramson.messenger.vault import Guard
from ramson.world import World

SERVICE: Final = "ramson"
KEY_BYTES: Final = 32


class NoKeyring(LocalError):
    """There is no keyring, it is locked, or it refuses."""


class KeyMissing(LocalError):
    """The keyring does not have the key of this account."""


def is_guarded(path: Path) -> bool:
    """Tell whether an account is opened with a key of the keyring.  Raises AccountFileError."""
    return path.is_file() and vault.guard_of(path)[0] is Guard.KEYRING


def key_of(path: Path) -> str:
    """Return the key of an account, to be used as its passphrase.  Raises NoKeyring, KeyMissing, AccountFileError."""
    _, name = vault.guard_of(path)
    key = _call("get_password", SERVICE, name, instead="make the account file anew from the recovery phrase")
    if not isinstance(key, str):
        raise KeyMissing(
            "the keyring has no key for this account file",
            remedy="Log in as the user, and on the machine, that made it; or make it anew from the recovery phrase.",
        )
    return key


async def create(path: Path, *, world: World, name: str = "", phrase: str | None = None) -> AccountKeys:
    """Make an account, or restore one, that is opened with a key of the keyring.

    Raises NoKeyring, AccountFileError, PhraseError, BadName.
    """
    _check()
    key = _new_key(world.entropy)
    keys = await account.create(path, key, world=world, name=name, phrase=phrase, guard=Guard.KEYRING)
    try:
        _keep(path, key)
    except BaseException:
        vault.destroy(path)
        raise
    return keys


async def replace_passphrase(path: Path, passphrase: str, *, world: World) -> None:
    """Let a key of the keyring open an account instead of its passphrase; a second passphrase goes too.

    The keyring has the key before the account file changes: whoever is killed opens it in the one way or the other.
    Raises NoKeyring, AccountFileError.
    """
    _check()
    (await account.unlock(path, passphrase, world=world)).close()  # a file of the first layout gets its name by this
    key = _new_key(world.entropy)
    _keep(path, key)
    await account.change_passphrase(path, passphrase, key, world=world, guard=Guard.KEYRING)


async def replace_key(path: Path, passphrase: str, *, world: World) -> None:
    """Let a passphrase open an account instead of the key in the keyring, which is deleted there.

    Raises NoKeyring, KeyMissing, WeakPassphrase, AccountFileError.
    """
    await account.change_passphrase(path, key_of(path), passphrase, world=world)
    _forget(path)


def _new_key(entropy: Entropy) -> str:
    return entropy.randbytes(KEY_BYTES).hex()


def _keep(path: Path, key: str) -> None:
    name = vault.guard_of(path)[1]
    _call("set_password", SERVICE, name, key)
    if _call("get_password", SERVICE, name) != key:
        raise NoKeyring("the keyring did not keep the key", remedy="Use a passphrase instead.")


def _forget(path: Path) -> None:
    """Delete the key, which opens nothing any more; a keyring that refuses may keep it."""
    with contextlib.suppress(NoKeyring):
        _call("delete_password", SERVICE, vault.guard_of(path)[1])


def _check() -> None:
    """Raise NoKeyring unless there is a keyring that seals what it keeps."""
    backend = _package().get_keyring()
    if backend.priority < 1:
        # what has no priority only stands for there being none
        found = f" ({backend.name} was found)" if backend.priority > 0 else ""
        raise NoKeyring(
            f"there is no keyring that seals its keys here{found}",
            remedy="Start a desktop's keyring (Secret Service, KWallet), or use a passphrase.",
        )


def _call(operation: str, *given: str, instead: str = "use a passphrase") -> Any:
    package = _package()
    try:
        return getattr(package, operation)(*given)
    except package.errors.NoKeyringError:
        raise NoKeyring(
            "there is no keyring on this machine",
            remedy=f"Start a desktop's keyring (Secret Service, KWallet), or {instead}.",
        ) from None
    except package.errors.KeyringLocked:
        raise NoKeyring("the keyring is locked", remedy="Unlock it and try again.") from None
    except Exception as error:  # noqa: BLE001 - backends raise what their systems do
        raise NoKeyring(
            f"the keyring refuses ({type(error).__name__})", remedy=f"Unlock it and try again, or {instead}."
        ) from None


def _package() -> ModuleType:
    try:
        return importlib.import_module("keyring")
    except ImportError:
        raise NoKeyring(
            "the package for keyrings is not installed", remedy="Install it: pip install 'ramson[keyring]'."
        ) from None
