"""`ramson contacts`, `ramson requests`, `ramson profile`, `ramson search`: who there is, and what was said.

What only looks reads the account file and needs no network; `--fetch` asks for news first.  What changes something
waits until our swarm and, where it concerns them, the other side have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from ramson.cli.harmless import printable
from ramson.cli.lines import fields, line
from ramson.cli.names import Names, Typed, names_of, read_person
from ramson.cli.options import (
    AccountOption,
    JsonOption,
    NetworkOption,
    PassphraseFileOption,
    account_passphrase,
    resolve_network,
)
from ramson.cli.terminal import following, note, progress, result, result_json, run
from ramson.cli.way_out import reach_settings
from ramson.crypto.account import AccountId
from ramson.errors import LocalError, RemoteError
from ramson.messenger import Client, Contact, Conversation, Message
from ramson.messenger.images import look_at
from ramson.messenger.letters import check_name
from ramson.network import NetworkProfile

S = TypeVar("S")
T = TypeVar("T")

FETCH_SECONDS = 60.0
RESTORED: Final = "What the other devices of this restored account know is not fetched yet; --fetch does it."

requests_app = typer.Typer(
    name="requests", help="Look at message requests and decide about them.", no_args_is_help=True
)
profile_app = typer.Typer(name="profile", help="Show and change what others see of you.", no_args_is_help=True)

PersonArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The account id of the person, or the nickname that you gave them.")
]
FetchOption = Annotated[bool, typer.Option("--fetch", help="Ask the network for news first.")]


class NotDone(RemoteError):
    """A change is in the account file and has not reached the network in the time given."""


def contacts(
    account: AccountOption,
    *,
    fetch: FetchOption = False,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """List the people you have approved or blocked."""

    def known(me: Client) -> tuple[Names, list[Contact], list[dict[str, object]]]:
        found = me.contacts()
        return names_of(me), found, [_contact_fields(contact) for contact in found]

    names, found, told = look(account, passphrase_file, network, known, fetch=fetch)
    if json:
        result_json(told)
        return
    for contact in found:
        words = [names.listed(contact.id)]
        words += [word for word, said in (("blocked", contact.blocked), ("not approved", not contact.approved)) if said]
        result("  ".join(words))


@requests_app.command("list")
def list_requests(
    account: AccountOption,
    *,
    fetch: FetchOption = False,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """List people who wrote to you and wait for a decision, with their last message."""
    names, found = look(account, passphrase_file, network, lambda me: (names_of(me), me.requests()), fetch=fetch)
    if json:
        result_json([_request_fields(request, names) for request in found])
        return
    for request in found:
        result(names.listed(request.peer))
        if request.last is not None:
            result(f"    {line(request.last, names)}")


@requests_app.command()
def accept(
    person: PersonArgument,
    account: AccountOption,
    *,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Accept a request: the person is told, and is a contact from now on."""
    _decide(account, passphrase_file, network, read_person(person), _if_known(Client.accept), json=json)


@requests_app.command()
def decline(
    person: PersonArgument,
    account: AccountOption,
    *,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Delete a request, or a contact, with all messages, on all your devices; the person is not told."""
    _decide(account, passphrase_file, network, read_person(person), _if_known(Client.decline), json=json)


@requests_app.command()
def block(
    person: PersonArgument,
    account: AccountOption,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Hear the person again.")] = False,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Drop whatever a person sends, on all your devices; the person is not told."""

    async def change(me: Client, who: AccountId) -> None:
        await me.block(who, blocked=not undo)

    _decide(account, passphrase_file, network, read_person(person), change, json=json)


def nickname(
    person: PersonArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help='Up to 100 bytes; "" takes the nickname back.')],
    account: AccountOption,
    *,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Call somebody by a name of your own, on all your devices; the person is not told.

    Commands show it instead of what the person calls themselves, and take it in the place of the account id.
    """

    async def change(me: Client, who: AccountId) -> None:
        names_of(me).check_nickname(who, name)
        await me.set_nickname(who, name)

    _decide(account, passphrase_file, network, read_person(person), change, json=json)


@profile_app.command("show")
def show_profile(
    account: AccountOption,
    *,
    fetch: FetchOption = False,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Print your account id, name and picture."""
    identity, profile, avatar = look(
        account, passphrase_file, network, lambda me: (me.account_id, me.profile, me.avatar), fetch=fetch
    )
    if json:
        picture = profile.picture_url or None
        result_json({"id": identity.hex, "name": profile.name, "picture": picture, "avatar": _avatar(avatar)})
        return
    result(identity.hex)
    result(printable(profile.name) or "(no name)")
    if profile.picture_url:
        result(printable(profile.picture_url))


@profile_app.command("set")
def set_profile(
    account: AccountOption,
    *,
    name: Annotated[str | None, typer.Option("--name", help="The name that others see with your messages.")] = None,
    avatar: Annotated[
        Path | None,
        typer.Option(
            "--avatar",
            metavar="PATH",
            exists=True,
            dir_okay=False,
            help="A picture for others to see: JPEG, PNG, WebP or GIF, square; over 600 pixels it is made smaller.",
        ),
    ] = None,
    no_avatar: Annotated[bool, typer.Option("--no-avatar", help="Take your picture away.")] = False,
    network: NetworkOption = "mainnet",
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Change your name or picture on all your devices; others learn it with your next messages."""
    if name is not None:
        check_name(name)
    if name is None and avatar is None and not no_avatar:
        raise LocalError("there is nothing to change", remedy="Give --name, --avatar or --no-avatar.")
    if avatar is not None and no_avatar:
        raise LocalError("a picture cannot be set and taken away at once", remedy="Give --avatar or --no-avatar.")

    async def change(me: Client) -> None:
        if name is not None:
            await me.set_profile(name)
        if avatar is not None or no_avatar:
            await me.set_avatar(None if no_avatar else avatar)

    kept, picture = _change(account, passphrase_file, network, change, lambda me, _changed: (me.name, me.avatar))
    if json:
        result_json({"name": kept, "avatar": _avatar(picture)})


def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Words; the last one may be a beginning.")],
    account: AccountOption,
    *,
    person: Annotated[
        str | None,
        typer.Option("--with", metavar="ID", help="Only what was said with the person of this id or nickname."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many messages at most.")] = 100,
    passphrase_file: PassphraseFileOption = None,
    json: JsonOption = False,
) -> None:
    """Find messages that hold all these words, the newest first.  Nothing is asked of the network."""
    if not text.strip():
        raise LocalError("there is nothing to search for", remedy="Give a word, or its beginning.")
    typed = None if person is None else read_person(person)

    def found(me: Client) -> tuple[Names, list[Message]]:
        names = names_of(me)
        return names, me.search(text, conversation=None if typed is None else names.meant(typed), limit=limit)

    names, messages = look(account, passphrase_file, None, found, fetch=False)
    if json:
        result_json([fields(message, names) for message in messages])
        return
    for message in messages:
        result(line(message, names, to_whom=True))


# Inside


def look(
    path: Path, passphrase_file: Path | None, network: str | None, what: Callable[[Client], T], *, fetch: bool
) -> T:
    """Return what an open client tells; with `fetch` after it has asked for news.  Raises NotDone, AccountFileError."""
    profile = resolve_network(network or "mainnet")
    passphrase = account_passphrase(path, passphrase_file)

    async def asked() -> T:
        client = Client.open(
            path, passphrase=passphrase, network=profile, connect=fetch, share=True, reach=reach_settings()
        )
        with progress("Opening the account…") as show:
            async with client as me:
                if fetch:
                    async with following(me.watch_path(), show):
                        await _in_time(me.synced(), "nothing could be fetched")
                elif me.restoring:
                    note(RESTORED)
                return what(me)

    return run(asked())


def _decide(
    path: Path,
    passphrase_file: Path | None,
    network: str,
    typed: Typed,
    change: Callable[[Client, AccountId], Awaitable[None]],
    *,
    json: bool,
) -> None:
    async def decide(me: Client) -> AccountId:
        who = names_of(me).meant(typed)
        await change(me, who)
        return who

    def known(me: Client, who: AccountId) -> dict[str, object] | None:
        after = me.contact(who)
        return None if after is None else _contact_fields(after)

    after = _change(path, passphrase_file, network, decide, known)
    if json:
        result_json(after)


def _change(
    path: Path,
    passphrase_file: Path | None,
    network: str,
    change: Callable[[Client], Awaitable[S]],
    then: Callable[[Client, S], T],
) -> T:
    profile = resolve_network(network)
    passphrase = account_passphrase(path, passphrase_file)
    return run(_changed(path, passphrase, profile, change, then))


async def _changed(
    path: Path,
    passphrase: str,
    profile: NetworkProfile,
    change: Callable[[Client], Awaitable[S]],
    then: Callable[[Client, S], T],
) -> T:
    with progress("Opening the account…") as show:
        async with Client.open(path, passphrase=passphrase, network=profile, share=True, reach=reach_settings()) as me:
            async with following(me.watch_path(), show):
                await _in_time(me.synced(), "what your other devices know could not be fetched")
                changed = await change(me)
                show("Telling the network…")
                await _in_time(_told(me), "the change is kept and goes out the next time")
            return then(me, changed)


def _if_known(change: Callable[[Client, AccountId], Awaitable[None]]) -> Callable[[Client, AccountId], Awaitable[None]]:
    """Refuse an id that was not copied right: a stranger would be told, or nothing done.  Raises LocalError."""

    async def checked(me: Client, who: AccountId) -> None:
        if me.contact(who) is None:
            raise LocalError(
                "this person has made no request and is no contact",
                remedy="`ramson requests list --fetch` shows requests.",
            )
        await change(me, who)

    return checked


async def know_first(me: Client, show: Callable[[str], None], then: str = "", seconds: float = FETCH_SECONDS) -> None:
    """Fetch what the other devices know, before anything is done; `then` says what did not happen.  Raises NotDone."""
    async with following(me.watch_path(), show):
        await _in_time(me.get_in_step(), f"what your other devices know could not be fetched{then}", seconds)


async def _told(me: Client) -> None:
    await me.drain()
    await me.synced()


async def _in_time(work: Awaitable[None], otherwise: str, seconds: float = FETCH_SECONDS) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        raise NotDone(
            f"the network did not answer within {seconds:g} s: {otherwise}",
            remedy="`ramson doctor` says what helps.",
        ) from None


def _avatar(data: bytes | None) -> dict[str, object] | None:
    """Return what programs are told of a picture."""
    found = None if data is None else look_at(data)
    return None if data is None or found is None else {"type": found.content_type, "bytes": len(data)}


def _contact_fields(contact: Contact) -> dict[str, object]:
    """Return what programs are told of somebody; while the client is open, for the picture is in its file."""
    return {
        "id": contact.id.hex,
        "name": contact.name,
        "nickname": contact.nickname,
        "approved": contact.approved,
        "approved_me": contact.approved_me,
        "blocked": contact.blocked,
        "priority": contact.priority,
        "avatar": _avatar(contact.avatar),
    }


def _request_fields(request: Conversation, names: Names) -> dict[str, object]:
    return {
        "id": request.peer.hex,
        "name": request.name,
        **names.fields(request.peer),
        "unread": request.unread,
        "last": None if request.last is None else fields(request.last, names),
    }
