"""`ramson node keys`: a backup of a node's keys, and putting it back.

Secrets never come from the arguments and never go to standard output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramson import given_files
from ramson.cli.passphrases import PassphraseFileOption, read_passphrase
from ramson.cli.terminal import note, progress, result
from ramson.errors import LocalError
from ramson.node import key_backup
from ramson.node.keys import NodeKeys
from ramson.node.private_files import write_private
from ramson.world import real

keys_app = typer.Typer(name="keys", help="Back up a node's keys, and put them back.", no_args_is_help=True)

WHAT = "the backup"

DirOption = Annotated[
    Path, typer.Option("--dir", file_okay=False, help="The node's data directory, in which its keys are.")
]


@keys_app.command("export")
def export_keys(
    directory: DirOption,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", dir_okay=False, help="The backup to write.")],
    *,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Write a backup of the node's keys, sealed under a passphrase, and print whose it is."""
    if out.exists():
        raise LocalError(f"{out} is there already", remedy="name a file that is not, or move it away")
    keys = NodeKeys.load(directory)
    passphrase = read_passphrase(passphrase_file, new=True, what=WHAT)
    with progress("Sealing the keys…"):
        backup = key_backup.seal(keys, passphrase, real.world().entropy)
    try:
        write_private(out, backup)
    except OSError as error:
        raise LocalError(f"{out} cannot be written: {error.strerror}") from None
    result(keys.ed25519.public.hex())
    note(f"The backup is in {out}. Keep it away from this machine, and the passphrase away from the backup.")


@keys_app.command("import")
def import_keys(
    directory: DirOption,
    backup: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="The backup.")],
    *,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Put the keys of a backup into a data directory that has none, and print whose they are."""
    content = given_files.read(backup, key_backup.MAX_BACKUP, what=str(backup))
    passphrase = read_passphrase(passphrase_file, what=WHAT)
    with progress("Opening the backup…"):
        keys = key_backup.unseal(content, passphrase)
    keys.save(directory)
    result(keys.ed25519.public.hex())
    note("Never run two nodes with the same keys: the network sees one that is at two addresses.")
