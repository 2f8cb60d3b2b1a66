"""`ramson account`: making, restoring, locking, showing and deleting an account file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from ramson.cli.duress import duress_app
from ramson.cli.options import (
    AccountOption,
    JsonOption,
    NetworkOption,
    PassphraseFileOption,
    account_passphrase,
    confirm,
    read_passphrase,
    read_phrase,
    resolve_network,
)
from ramson.cli.terminal import note, progress, result, result_json, run
from ramson.cli.way_out import reach_settings
from ramson.crypto.account import AccountKeys
from ramson.errors import LocalError, RemoteError
from ramson.messenger import Client, Deletion, account, keyring_keys
from ramson.messenger.vault import check_absent
from ramson.network import NetworkProfile
from ramson.world import real

NEW_PASSPHRASE_VARIABLE: Final = "RAMSON_NEW_PASSPHRASE"  # noqa: S105 - the name of one

account_app = typer.Typer(name="account", help="Make, restore, lock and show an account.", no_args_is_help=True)
account_app.add_typer(duress_app)

NameOption = Annotated[str, typer.Option("--name", help="The name that others see with your messages.")]
KeyringOption = Annotated[
    bool, typer.Option("--keyring", help="Keep the key in the system's keyring instead of asking for a passphrase.")
]


class NotDeleted(RemoteError):
    """A node did not confirm that it deleted what it keeps of an account."""


@account_app.command()
def create(
    path: AccountOption,
    name: NameOption = "",
    *,
    keyring: KeyringOption = False,
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Make a new account and print its id and, this once, its recovery phrase."""
    check_absent(path)
    keys = _make(path, name, None, passphrase_file, keyring=keyring)
    if json:
        result_json({"id": keys.id.hex, "phrase": account.phrase_of_keys(keys)})
        return
    note("Your account id. Give it to those who are to write to you:")
    result(str(keys.id))
    note(
        "Your recovery phrase. It is the account: write it down where nobody else looks, and tell it to nobody."
        "\nWithout it a lost file or a forgotten passphrase means a lost account:"
    )
    result(account.phrase_of_keys(keys))


@account_app.command()
def restore(
    path: AccountOption,
    name: NameOption = "",
    *,
    keyring: KeyringOption = False,
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Make the file of an account from its recovery phrase, which is asked for or read from standard input."""
    check_absent(path)
    phrase = read_phrase()
    account.keys_of_phrase(phrase)  # a slip of the pen is told before a passphrase is asked for
    keys = _make(path, name, phrase, passphrase_file, keyring=keyring)
    _tell("id", keys.id.hex, json=json)
    note("Its name, picture and contacts come with the first `ramson listen`, `chat`, `send` or --fetch.")


def _make(path: Path, name: str, phrase: str | None, passphrase_file: Path | None, *, keyring: bool) -> AccountKeys:
    passphrase = "" if keyring else read_passphrase(passphrase_file, new=True)
    with progress("Making the account…" if phrase is None else "Restoring the account…"):
        world = real.world()
        if keyring:
            return run(keyring_keys.create(path, world=world, name=name, phrase=phrase))
        return run(account.create(path, passphrase, world=world, name=name, phrase=phrase))


@account_app.command()
def show(
    path: AccountOption,
    *,
    phrase: Annotated[bool, typer.Option("--phrase", help="Show the recovery phrase instead, after asking.")] = False,
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Print the account id."""
    passphrase = account_passphrase(path, passphrase_file)
    if phrase and not confirm("Whoever sees the recovery phrase can read and write all your messages. Show it?"):
        raise typer.Exit(1)
    with progress("Opening the account…"):
        keys = run(_keys(path, passphrase))
    if phrase:
        _tell("phrase", account.phrase_of_keys(keys), json=json)
    else:
        _tell("id", keys.id.hex, json=json)


def _tell(name: str, value: str, *, json: bool) -> None:
    if json:
        result_json({name: value})
    else:
        result(value)


@account_app.command("passphrase")
def change_passphrase(
    path: AccountOption,
    *,
    keyring: KeyringOption = False,
    passphrase_file: PassphraseFileOption = None,
    new_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--new-passphrase-file",
            metavar="FILE",
            help=f"Read the new passphrase from here; otherwise it comes from {NEW_PASSPHRASE_VARIABLE}, or is asked"
            " for.",
        ),
    ] = None,
) -> None:
    """Change the passphrase, or let a key in the keyring take its place; an account is never without either.

    From a passphrase to the keyring or back, a second passphrase (`ramson account duress`) and its account go too.
    """
    guarded = keyring_keys.is_guarded(path)
    if keyring and guarded:
        raise LocalError("the account is opened by a key of the keyring already")
    old = account_passphrase(path, passphrase_file)
    if keyring:
        with progress("Changing what opens the account…"):
            run(keyring_keys.replace_passphrase(path, old, world=real.world()))
        note("The keyring opens the account now. If the keyring is lost, only the recovery phrase is left.")
        return
    new = read_passphrase(
        new_passphrase_file,
        new=True,
        what="the account file from now on",
        variable=NEW_PASSPHRASE_VARIABLE,
        option="--new-passphrase-file",
    )
    with progress("Changing the passphrase…"):
        if guarded:
            run(keyring_keys.replace_key(path, new, world=real.world()))
        else:
            run(account.change_passphrase(path, old, new, world=real.world()))
    note("The new passphrase opens the account. Backups of the file are still opened by the old one.")


@account_app.command()
def delete(
    path: AccountOption,
    *,
    everywhere: Annotated[
        bool,
        typer.Option(
            "--everywhere",
            help="First delete all that the network keeps of the account. Do it on the last device that has it.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Delete the account's files on this device, with everything in them; what others have received stays with them."""
    profile = resolve_network(network)
    passphrase = account_passphrase(path, passphrase_file)
    where = "on this device and in the network" if everywhere else "on this device"
    if everywhere and not yes:
        note(
            "Another device that still has this account keeps it, and puts its name and contacts back into the network."
        )
    if not yes and not confirm(f"Delete the account and all its messages {where}, for good?"):
        raise typer.Exit(1)
    with progress("Deleting the account…") as show:

        def tell(deletion: Deletion) -> None:
            total = len(deletion.confirmed) + len(deletion.failed)
            silent = "; a silent one is waited for up to 20 s" if deletion.failed else ""
            show(f"Deleting the account… {len(deletion.confirmed)} of {total} nodes have confirmed{silent}")

        deletion = run(_deleted(path, passphrase, profile, tell, everywhere=everywhere))
    if json:
        result_json(
            {"deleted": deletion.complete, "confirmed": len(deletion.confirmed), "failed": len(deletion.failed)}
        )
    if not deletion.complete:
        raise NotDeleted(
            f"{len(deletion.failed)} of {len(deletion.failed) + len(deletion.confirmed)} nodes did not confirm,"
            " and the account file was not deleted",
            remedy="Try again later, or without --everywhere: what a node keeps it forgets within 30 days.",
        )
    if not json:
        result(f"deleted: confirmed by {len(deletion.confirmed)} nodes" if everywhere else "deleted")


async def _keys(path: Path, passphrase: str) -> AccountKeys:
    store = await account.unlock(path, passphrase, world=real.world())
    store.close()
    return store.keys


async def _deleted(
    path: Path, passphrase: str, profile: NetworkProfile, tell: Callable[[Deletion], None], *, everywhere: bool
) -> Deletion:
    async with Client.open(
        path,
        passphrase=passphrase,
        network=profile,
        receive=False,
        connect=everywhere,
        reach=reach_settings(),
    ) as me:
        return await me.delete_account(everywhere=everywhere, progress=tell)
