"""`ramson account`: making, restoring and looking at an account file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramson.cli.options import AccountOption, PassphraseFileOption, confirm, read_passphrase, read_phrase
from ramson.cli.terminal import note, progress, result, run
from ramson.crypto.account import AccountKeys
from ramson.messenger import account
from ramson.messenger.vault import check_absent
from ramson.world import real

account_app = typer.Typer(name="account", help="Make, restore and show an account.", no_args_is_help=True)

NameOption = Annotated[str, typer.Option("--name", help="The name that others see with your messages.")]


@account_app.command()
def create(path: AccountOption, name: NameOption = "", passphrase_file: PassphraseFileOption = None) -> None:
    """Make a new account and print its id and, this once, its recovery phrase."""
    check_absent(path)
    passphrase = read_passphrase(passphrase_file, new=True)
    with progress("Making the account…"):
        keys = run(account.create(path, passphrase, world=real.world(), name=name))
    note("Your account id. Give it to those who are to write to you:")
    result(str(keys.id))
    note(
        "Your recovery phrase. It is the account: write it down where nobody else looks, and tell it to nobody."
        "\nWithout it a lost file or a forgotten passphrase means a lost account:"
    )
    result(account.phrase_of_keys(keys))


@account_app.command()
def restore(path: AccountOption, name: NameOption = "", passphrase_file: PassphraseFileOption = None) -> None:
    """Make the file of an account from its recovery phrase, which is asked for or read from standard input."""
    check_absent(path)
    phrase = read_phrase()
    account.keys_of_phrase(phrase)  # a slip of the pen is told before a passphrase is asked for
    passphrase = read_passphrase(passphrase_file, new=True)
    with progress("Restoring the account…"):
        keys = run(account.create(path, passphrase, world=real.world(), name=name, phrase=phrase))
    result(str(keys.id))


@account_app.command()
def show(
    path: AccountOption,
    *,
    phrase: Annotated[bool, typer.Option("--phrase", help="Show the recovery phrase instead, after asking.")] = False,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Print the account id."""
    passphrase = read_passphrase(passphrase_file)
    if phrase and not confirm("Whoever sees the recovery phrase can read and write all your messages. Show it?"):
        raise typer.Exit(1)
    with progress("Opening the account…"):
        keys = run(_keys(path, passphrase))
    result(account.phrase_of_keys(keys) if phrase else str(keys.id))


async def _keys(path: Path, passphrase: str) -> AccountKeys:
    store = await account.unlock(path, passphrase, world=real.world())
    store.close()
    return store.keys
