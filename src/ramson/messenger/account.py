"""Making an account file, anew or from its recovery phrase, unlocking one, and what opens it.

The work is done on the world's disk: deriving the key of a file takes a fifth of a second.
Spec: identity.md, key material and recovery phrase.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ramson.crypto import phrase as recovery
from ramson.crypto.account import ENTROPY_SIZE, AccountKeys
from ramson.messenger import archive, vault
from ramson.messenger.letters import check_name
from ramson.messenger.store import Store
from ramson.messenger.vault import Guard, KeyCost
from ramson.world import Disk, World

T = TypeVar("T")

DEFAULT_COST = KeyCost()  # an account is opened often, and on small machines: under half a second and 150 MB


def keys_of_phrase(phrase: str) -> AccountKeys:
    """Return the keys a recovery phrase stands for.  Raises PhraseError, which says what is wrong with it."""
    entropy = recovery.decode(phrase)
    return AccountKeys.from_entropy(entropy) if len(entropy) == ENTROPY_SIZE else AccountKeys.from_seed(entropy)


def phrase_of_keys(keys: AccountKeys) -> str:
    """Return the recovery phrase of an account: whoever knows it can read and write everything."""
    return recovery.encode(keys.entropy)


async def create(
    path: Path,
    passphrase: str,
    *,
    world: World,
    name: str = "",
    phrase: str | None = None,
    cost: KeyCost = DEFAULT_COST,
    guard: Guard = Guard.PASSPHRASE,
) -> AccountKeys:
    """Make the file of a new account, or with `phrase` of the one it stands for, and return its keys.

    `name` is the display name that messages carry; a restored account keeps the one it has.  `guard` says whether
    the passphrase is one, or a key that a keyring keeps (see `keyring_keys`).
    Raises AccountFileError, PhraseError, BadName.
    """
    check_name(name)
    keys = AccountKeys.generate(world.entropy) if phrase is None else keys_of_phrase(phrase)

    def work() -> None:
        now_ms = world.clock.now()
        Store.create(
            path,
            passphrase,
            keys,
            name=name,
            now_ms=now_ms,
            entropy=world.entropy,
            cost=cost,
            guard=guard,
            restored=phrase is not None,
        )

    await _on_disk(world.disk(), work)
    return keys


async def unlock(path: Path, passphrase: str, *, world: World) -> Store:
    """Open an account file; the caller closes it.  Raises AccountFileError."""
    return await _on_disk(world.disk(), lambda: Store.open(path, passphrase, entropy=world.entropy))


async def change_passphrase(
    path: Path,
    old: str,
    new: str,
    *,
    world: World,
    cost: KeyCost = DEFAULT_COST,
    guard: Guard = Guard.PASSPHRASE,
) -> None:
    """Let `new` open an account instead of `old`, at `cost` a guess at least; see `vault.change_passphrase`.

    Raises AccountFileError.
    """
    entropy = world.entropy
    await _on_disk(
        world.disk(), lambda: vault.change_passphrase(path, old, new, entropy=entropy, cost=cost, guard=guard)
    )


async def set_duress(
    path: Path, passphrase: str, duress: str, *, wipe: bool, world: World, name: str = ""
) -> AccountKeys:
    """Let a second passphrase open another, new account; return that one's keys.

    With `wipe` opening it destroys the first account in this file.  Whatever the file held beside the account that
    `passphrase` opens is gone.  What this protects, and what not: docs/threat-model.md.  Raises AccountFileError.
    """
    check_name(name)
    keys = AccountKeys.generate(world.entropy)
    fill = Store.filling(keys, name=name, now_ms=world.clock.now())
    entropy = world.entropy
    await _on_disk(world.disk(), lambda: vault.set_other(path, passphrase, duress, fill, wipe=wipe, entropy=entropy))
    return keys


async def remove_duress(path: Path, passphrase: str, *, world: World) -> None:
    """Let no passphrase but this one open anything; what another one opened is gone.  Raises AccountFileError."""
    await _on_disk(world.disk(), lambda: vault.clear_other(path, passphrase, entropy=world.entropy))


async def create_from_archive(
    path: Path,
    passphrase: str,
    archive_bytes: bytes,
    archive_passphrase: str,
    *,
    world: World,
    cost: KeyCost = DEFAULT_COST,
    guard: Guard = Guard.PASSPHRASE,
) -> AccountKeys:
    """Make the file of the account in an archive and return its keys.

    What its other devices did since comes from the swarm when it is opened.  Raises AccountFileError, BadArchive.
    """

    def work() -> AccountKeys:
        document = archive.open_archive(archive_bytes, archive_passphrase)
        secret = archive.entropy_of(document)
        keys = AccountKeys.from_entropy(secret) if len(secret) == ENTROPY_SIZE else AccountKeys.from_seed(secret)
        Store.create(
            path,
            passphrase,
            keys,
            name="",
            now_ms=world.clock.now(),
            entropy=world.entropy,
            cost=cost,
            guard=guard,
            restored=True,
            more=lambda store: archive.fill(store, document),
        )
        return keys

    return await _on_disk(world.disk(), work)


async def seal_archive(store: Store, passphrase: str, *, world: World, cost: KeyCost) -> bytes:
    """Return an archive of an open account.  Raises WeakPassphrase."""
    plain, entropy = archive.pack(store), world.entropy
    return await _on_disk(world.disk(), lambda: archive.seal_packed(plain, passphrase, entropy=entropy, cost=cost))


async def open_archive(archive_bytes: bytes, passphrase: str, *, world: World) -> archive.Document:
    """Return what an archive holds.  Raises BadArchive."""
    return await _on_disk(world.disk(), lambda: archive.open_archive(archive_bytes, passphrase))


async def _on_disk(disk: Disk, work: Callable[[], T]) -> T:
    try:
        return await disk.run(work)
    finally:
        await disk.close()
