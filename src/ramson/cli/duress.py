"""`ramson account duress`: a second passphrase, for somebody who forces the owner to open the account.

What it protects and what not is in docs/threat-model.md, and the commands say where to read it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from ramson.cli.options import AccountOption, PassphraseFileOption, account_passphrase, confirm, read_passphrase
from ramson.cli.terminal import note, progress, result, run
from ramson.errors import LocalError
from ramson.messenger import account
from ramson.world import real

DURESS_VARIABLE: Final = "RAMSON_DURESS_PASSPHRASE"

# The same is asked in every account: one that was opened with a second passphrase cannot be told from another.
WARNING: Final = (
    "Whatever else this file may hold, beside the account that this passphrase opens, is destroyed."
    " Never do this with the passphrase you give to others. Go on?"
)

duress_app = typer.Typer(name="duress", help="A second passphrase, for somebody who forces you.", no_args_is_help=True)

YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@duress_app.command("set")
def set_(
    path: AccountOption,
    *,
    decoy: Annotated[
        bool, typer.Option("--decoy", help="The second passphrase opens another account, and nothing happens to yours.")
    ] = False,
    wipe: Annotated[
        bool, typer.Option("--wipe", help="The second passphrase destroys yours first, for good, and asks nothing.")
    ] = False,
    name: Annotated[str, typer.Option("--name", help="The name of the other account.")] = "",
    yes: YesOption = False,
    passphrase_file: PassphraseFileOption = None,
    duress_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--duress-passphrase-file",
            metavar="FILE",
            help=f"Read the second passphrase from here; otherwise it comes from {DURESS_VARIABLE}, or is asked for.",
        ),
    ] = None,
) -> None:
    """Set the second passphrase and print the id of the account it opens, which is new and empty.

    It helps against a look at the open account, not against somebody who has a copy of the file from before, watches
    the network, or knows your account id. Read docs/threat-model.md before you rely on it.
    """
    if decoy is wipe:
        raise LocalError("it is not said what the second passphrase does", remedy="Say either --decoy or --wipe.")
    passphrase = account_passphrase(path, passphrase_file)
    duress = read_passphrase(
        duress_passphrase_file,
        new=True,
        what="somebody who forces you",
        variable=DURESS_VARIABLE,
        option="--duress-passphrase-file",
    )
    if not yes and not confirm(WARNING):
        raise typer.Exit(1)
    with progress("Setting the second passphrase…"):
        keys = run(account.set_duress(path, passphrase, duress, wipe=wipe, name=name, world=real.world()))
    note("The account that the second passphrase opens is new and empty. Its id:")
    result(str(keys.id))


@duress_app.command()
def remove(path: AccountOption, *, yes: YesOption = False, passphrase_file: PassphraseFileOption = None) -> None:
    """Let no other passphrase open anything, whether there is one or not."""
    passphrase = account_passphrase(path, passphrase_file)
    if not yes and not confirm(WARNING):
        raise typer.Exit(1)
    with progress("Removing the second passphrase…"):
        run(account.remove_duress(path, passphrase, world=real.world()))
