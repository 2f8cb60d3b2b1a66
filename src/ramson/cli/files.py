"""`ramson save`: the files of a message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ramson.cli.harmless import printable
from ramson.cli.lines import size
from ramson.cli.options import (
    AccountOption,
    JsonOption,
    NetworkOption,
    PassphraseFileOption,
    account_passphrase,
    resolve_network,
)
from ramson.cli.terminal import progress, result, result_json, run
from ramson.cli.way_out import reach_settings
from ramson.errors import LocalError
from ramson.messenger import Attachment, Client, Message
from ramson.network import NetworkProfile


def save(
    message: Annotated[
        int, typer.Argument(metavar="MESSAGE", help="The number of the message, as `listen` and `chat` print it.")
    ],
    account: AccountOption,
    *,
    to: Annotated[Path, typer.Option("--to", file_okay=False, exists=True, help="The directory to save to.")] = Path(),
    tell: Annotated[bool, typer.Option("--tell", help="Tell the sender that you saved it.")] = False,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Fetch the files of a message, check and decrypt them; nothing that is there is overwritten."""
    profile = resolve_network(network)
    passphrase = account_passphrase(account, passphrase_file)
    saved = run(_save(account, passphrase, profile, message, to, tell=tell))
    if json:
        result_json([{"file": str(path), "bytes": path.stat().st_size} for path in saved])
        return
    for path in saved:
        result(str(path))


async def _save(
    path: Path, passphrase: str, profile: NetworkProfile, number: int, directory: Path, *, tell: bool
) -> list[Path]:
    with progress("Opening the account…") as show:
        async with Client.open(
            path, passphrase=passphrase, network=profile, receive=False, reach=reach_settings()
        ) as me:
            message = me.message(number)
            if message is None or not message.attachments:
                raise LocalError(
                    f"there is no message {number} with files", remedy="`ramson history ID` shows numbers."
                )
            if tell and message.request:
                raise LocalError("people whom you have not accepted are told nothing", remedy="Leave --tell out.")
            saved = await save_all(message, directory, show)
            if tell:
                await me.tell_saved(message)
                show("Telling the sender…")
                await me.drain()
            return saved


async def save_all(message: Message, directory: Path, show: Callable[[str], None]) -> list[Path]:
    """Save all files of a message; `show` is told how far it is.  Raises LocalError, too, where they cannot be put."""
    try:
        return [await each.save(directory, progress=_showing(each, show)) for each in message.attachments]
    except OSError as error:
        if error.strerror is None:  # none of the disk's
            raise
        raise LocalError(f"{directory} takes no file: {error.strerror}", remedy="Choose another directory.") from None


def _showing(attachment: Attachment, show: Callable[[str], None]) -> Callable[[int, int], None]:
    name = printable(attachment.name) or "the file"

    def told(done: int, total: int) -> None:
        share = f"{100 * done // total}% of {size(total)}" if total > 0 else "asking for it…"
        show(f"{name}: {share}")

    return told
