"""`ramson export` and `ramson import`: taking an account along, and copies for reading."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ramson import given_files
from ramson.cli.options import AccountOption, JsonOption, PassphraseFileOption, account_passphrase, read_passphrase
from ramson.cli.terminal import note, progress, result, result_json, run
from ramson.errors import LocalError
from ramson.messenger import Client, account
from ramson.messenger.archive import MAX_ARCHIVE
from ramson.world import real

ARCHIVE_VARIABLE = "RAMSON_ARCHIVE_PASSPHRASE"

ArchivePassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--archive-passphrase-file",
        metavar="FILE",
        help=f"Read the archive's passphrase from here; otherwise it comes from {ARCHIVE_VARIABLE}, or is asked for.",
    ),
]


class Format(StrEnum):
    """What `ramson export` writes."""

    ARCHIVE = "archive"
    JSON = "json"
    HTML = "html"


def export(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The file to write; it must not exist yet.")],
    account_file: AccountOption,
    *,
    as_: Annotated[
        Format, typer.Option("--format", help="An encrypted archive with everything, or plain texts for reading.")
    ] = Format.ARCHIVE,
    passphrase_file: PassphraseFileOption = None,
    archive_passphrase_file: ArchivePassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """Write the account and its messages to a file: encrypted, to be imported again, or plain, to be read."""
    if target.exists():
        raise LocalError(f"there is already a file at {target}", remedy="Choose another name, or move that file.")
    passphrase = account_passphrase(account_file, passphrase_file)
    secret = ""
    if as_ is Format.ARCHIVE:
        secret = _secret(archive_passphrase_file, new=True)
    with progress("Writing…"):
        data = run(_exported(account_file, passphrase, as_, secret))
        _write(target, data)
    if as_ is not Format.ARCHIVE:
        note("This file is not encrypted: whoever has it can read it.")
    if json:
        result_json({"file": str(target), "format": as_.value, "bytes": len(data)})
    else:
        result(str(target))


def import_(
    source: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="An archive that `ramson export` wrote.")],
    account_file: AccountOption,
    *,
    passphrase_file: PassphraseFileOption = None,
    archive_passphrase_file: ArchivePassphraseOption = None,
    json: JsonOption = False,
) -> None:
    """Make the account file anew from an archive, or add an archive's messages to the file of the same account."""
    if source.exists() and not source.is_file():
        raise LocalError(f"the path {source} is no file", remedy="Check the path.")
    data = given_files.read(source, MAX_ARCHIVE, what="the archive")
    new = not account_file.exists()
    secret = _secret(archive_passphrase_file, new=False)
    passphrase = (
        read_passphrase(passphrase_file, new=True) if new else account_passphrase(account_file, passphrase_file)
    )
    with progress("Importing…"):
        identity, count = run(_imported(account_file, passphrase, data, secret, new=new))
    if json:
        result_json({"id": identity, "created": new, "messages": count})
    else:
        result(f"{identity}: {count} messages" if new else f"{identity}: {count} new messages")


def _secret(file: Path | None, *, new: bool) -> str:
    option = "--archive-passphrase-file"
    return read_passphrase(file, new=new, what="the archive", variable=ARCHIVE_VARIABLE, option=option)


async def _exported(path: Path, passphrase: str, form: Format, secret: str) -> bytes:
    async with Client.open(path, passphrase=passphrase, connect=False) as me:
        match form:
            case Format.ARCHIVE:
                return await me.export_archive(secret)
            case Format.JSON:
                return me.export_json().encode()
            case Format.HTML:
                return me.export_html().encode()


async def _imported(path: Path, passphrase: str, data: bytes, secret: str, *, new: bool) -> tuple[str, int]:
    if new:
        keys = await account.create_from_archive(path, passphrase, data, secret, world=real.world())
        async with Client.open(path, passphrase=passphrase, connect=False) as me:
            return keys.id.hex, me.count_messages()
    async with Client.open(path, passphrase=passphrase, connect=False) as me:
        return me.account_id.hex, await me.import_archive(data, secret)


def _write(target: Path, data: bytes) -> None:
    """Write a file that only its owner can read, all of it or none."""
    try:
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LocalError(f"{target} cannot be written: {error.strerror}", remedy="Name another place.") from None
