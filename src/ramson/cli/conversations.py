"""`ramson conversations` and `ramson history`: with whom one talks, and what was said.

Both read the account file and need no network; `--fetch` asks for news first.  Nothing is marked as read by it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from ramson.cli.harmless import printable
from ramson.cli.lines import line
from ramson.cli.options import AccountOption, JsonOption, NetworkOption, PassphraseFileOption
from ramson.cli.people import FetchOption, look
from ramson.cli.terminal import result, result_json
from ramson.crypto.account import AccountId
from ramson.messenger import Conversation
from ramson.messenger.archive import message_fields


def conversations(
    account: AccountOption,
    *,
    fetch: FetchOption = False,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """List your conversations with their last messages: pinned ones first, then the latest."""
    found = look(account, passphrase_file, network, lambda me: (me.account_id, me.conversations()), fetch=fetch)
    own, lines = found
    if json:
        result_json([_fields(each) for each in lines])
        return
    for each in lines:
        name = "Note to Self" if each.peer == own else printable(each.name) or "(no name)"
        marks = [f"{each.unread} unread"] if each.unread else ["unread"] if each.marked_unread else []
        marks += [word for word, told in (("pinned", each.priority > 0), ("blocked", each.blocked)) if told]
        result("  ".join([each.peer.hex, name, *marks]))
        if each.last is not None:
            result(f"    {line(each.last)}")


def history(
    person: Annotated[str, typer.Argument(metavar="ID", help="The account id of the other side.")],
    account: AccountOption,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many messages at most, the latest.")] = 50,
    fetch: FetchOption = False,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Print what was said with somebody, each message behind its number, which `send --quote` and `save` take."""
    who = AccountId.parse(person)
    found = look(account, passphrase_file, network, lambda me: me.history(who, limit=limit), fetch=fetch)
    if json:
        result_json([message_fields(message) for message in found])
        return
    for message in found:
        result(f"{message.id:>6}  {line(message)}")


def _fields(conversation: Conversation) -> dict[str, object]:
    return {
        "id": conversation.peer.hex,
        "name": conversation.name,
        "unread": conversation.unread,
        "marked_unread": conversation.marked_unread,
        "priority": conversation.priority,
        "blocked": conversation.blocked,
        "muted_until_s": conversation.muted_until_s,
        "expiration": {
            "mode": conversation.expiration.mode.name.lower(),
            "seconds": conversation.expiration.timer_s,
        },
        "last": None if conversation.last is None else message_fields(conversation.last),
    }
