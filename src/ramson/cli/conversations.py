"""`ramson conversations` and `ramson history`: with whom one talks, and what was said.

Both read the account file and need no network; `--fetch` asks for news first.  Nothing is marked as read by it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from ramson.cli.lines import fields, line
from ramson.cli.names import Names, names_of, read_person
from ramson.cli.options import AccountOption, JsonOption, NetworkOption, PassphraseFileOption
from ramson.cli.people import FetchOption, PersonArgument, look
from ramson.cli.terminal import result, result_json
from ramson.messenger import Client, Conversation, Message


def conversations(
    account: AccountOption,
    *,
    fetch: FetchOption = False,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """List your conversations with their last messages: pinned ones first, then the latest."""
    names, lines = look(account, passphrase_file, network, lambda me: (names_of(me), me.conversations()), fetch=fetch)
    if json:
        result_json([_fields(each, names) for each in lines])
        return
    for each in lines:
        marks = [f"{each.unread} unread"] if each.unread else ["unread"] if each.marked_unread else []
        marks += [word for word, told in (("pinned", each.priority > 0), ("blocked", each.blocked)) if told]
        result("  ".join([names.listed(each.peer), *marks]))
        if each.last is not None:
            result(f"    {line(each.last, names)}")


def history(
    person: PersonArgument,
    account: AccountOption,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many messages at most, the latest.")] = 50,
    fetch: FetchOption = False,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Print what was said with somebody, each message behind its number, which `send --quote` and `save` take."""
    typed = read_person(person)

    def found(me: Client) -> tuple[Names, list[Message]]:
        names = names_of(me)
        return names, me.history(names.meant(typed), limit=limit)

    names, messages = look(account, passphrase_file, network, found, fetch=fetch)
    if json:
        result_json([fields(message, names) for message in messages])
        return
    for message in messages:
        result(f"{message.id:>6}  {line(message, names)}")


def _fields(conversation: Conversation, names: Names) -> dict[str, object]:
    return {
        "id": conversation.peer.hex,
        "name": conversation.name,
        **names.fields(conversation.peer),
        "unread": conversation.unread,
        "marked_unread": conversation.marked_unread,
        "priority": conversation.priority,
        "blocked": conversation.blocked,
        "muted_until_s": conversation.muted_until_s,
        "expiration": {
            "mode": conversation.expiration.mode.name.lower(),
            "seconds": conversation.expiration.timer_s,
        },
        "last": None if conversation.last is None else fields(conversation.last, names),
    }
