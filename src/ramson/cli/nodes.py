"""`ramson nodes`: signed lists of nodes, for who makes them and for who takes one from a friend.

A signer's key lives in a file that only its owner can read, and never comes from the arguments.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ramson.cli.options import JsonOption, NetworkOption, data_directory, resolve_network
from ramson.cli.terminal import note, progress, result, result_json, run
from ramson.cli.way_out import reach_settings
from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import LocalError, ParseError, RemoteError
from ramson.network import NetworkError, NetworkProfile, NoSeeds, cache
from ramson.network.cache import FileCache
from ramson.network.judge import FoundList, Why, judge
from ramson.node.private_files import check_private, write_private
from ramson.protocol import node_list
from ramson.protocol.node_list import STARTER_NODES, SignedNodeList
from ramson.protocol.node_list_text import SCHEME, to_qr_text, to_txt, to_uri
from ramson.reach import open_entry
from ramson.reach.list_input import MAX_INPUT, find_list
from ramson.reach.list_making import ENOUGH, Survey, sample, share_listed, survey
from ramson.reach.node_lists import ListFile, imported_path
from ramson.world import World, real

nodes_app = typer.Typer(name="nodes", help="Lists of nodes that need no seed: make, sign, take.", no_args_is_help=True)

KEY_FILE_SIZE: Final = 65  # 64 hexadecimal digits and a line break
_DAY_FORMAT: Final = "%Y-%m-%d %H:%M UTC"


class NotTrusted(RemoteError):
    """Not enough known signers signed the list."""


class Form(StrEnum):
    """How a list is written."""

    FILE = "file"
    TEXT = "text"
    QR = "qr"
    DNS_TXT = "dns-txt"


ListArgument = Annotated[
    str,
    typer.Argument(metavar="LIST", help=f"A file, a picture of a QR code, {SCHEME}… itself, or - for standard input."),
]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="FILE", dir_okay=False, help="Where to write it.")]
UncheckedOption = Annotated[
    bool, typer.Option("--unchecked", help="Do not ask the network's seeds whether they list these nodes too.")
]


@nodes_app.command("export")
def export(
    list_: Annotated[
        str, typer.Option("--list", metavar="LIST", help="Write this list in another form, signatures and all.")
    ] = "",
    network: NetworkOption = "mainnet",
    *,
    form: Annotated[
        Form, typer.Option("--format", help="file, text for a message, qr, or dns-txt for a zone.")
    ] = Form.TEXT,
    starter: Annotated[bool, typer.Option("--starter", help="A few nodes only: fits a message and a QR code.")] = False,
    count: Annotated[int, typer.Option("--count", min=1, max=100, help="Nodes of a starter list.")] = STARTER_NODES,
    out: OutOption = None,
) -> None:
    """Write a list of the network's nodes: --list, or an unsigned one of what seeds list now, or what is known here."""
    profile, world = resolve_network(network), real.world()
    signed = _read(list_) if list_ else _present(profile, world)
    said = signed.statement
    if starter and not said.part:
        # Signatures are for the whole list: one of some of its nodes has to be signed by itself.
        some = sample(said.nodes, count, diversity=profile.diversity, entropy=world.entropy)
        signed = SignedNodeList(
            node_list.state(said.network, some, height=said.height, time_ms=said.time_ms, part=True)
        )
    _write(signed, form, out)


@nodes_app.command("import")
def import_(source: ListArgument, network: NetworkOption = "mainnet", *, json: JsonOption = False) -> None:
    """Take a list from somebody, to start from when seeds are blocked; it replaces the one taken before."""
    profile, world = resolve_network(network), real.world()
    signed = _read(source)
    _fit(signed, profile, world)
    place = ListFile(imported_path(data_directory(), profile.authority.network))
    trusted = profile.authority.trusts(signed)
    before = _decoded(place.read())
    if before is not None and profile.authority.trusts(before) and before != signed:
        if not trusted:
            raise LocalError(
                "the list taken before is signed, and this one is not, or by too few",
                remedy="Keep the old one; if it is of no use, run: ramson nodes forget",
            )
        if signed.statement.time_ms < before.statement.time_ms:
            raise LocalError("the list taken before is newer", remedy="Nothing needs to be done.")
    data_directory().mkdir(mode=0o700, parents=True, exist_ok=True)
    place.path.parent.mkdir(mode=0o700, exist_ok=True)
    FileCache(place.path).save(node_list.encode(signed))
    if json:
        result_json(_fields(signed, profile))
        return
    result(_text(signed, profile))
    if not trusted:
        note(
            "Nobody whose signature counts vouches for this list. It will be used for the time being, if nothing else"
            " is there or contradicts it: take it only from somebody you trust."
        )


@nodes_app.command("forget")
def forget(network: NetworkOption = "mainnet") -> None:
    """Forget the list that was imported."""
    path = imported_path(data_directory(), resolve_network(network).authority.network)
    try:
        path.unlink()
    except FileNotFoundError:
        raise LocalError("no list of this network was imported") from None
    result("forgotten")


@nodes_app.command("show")
def show(
    list_: Annotated[str, typer.Argument(metavar="[LIST]", help="The list; without it the imported one.")] = "",
    network: NetworkOption = "mainnet",
    *,
    json: JsonOption = False,
) -> None:
    """Show what a list says and who signed it."""
    profile = resolve_network(network)
    signed = _read(list_) if list_ else _decoded(_imported(profile).read())
    if signed is None:
        raise LocalError("no list of this network was imported", remedy="Name one, or take one: ramson nodes import")
    if json:
        nodes = [
            {"ed25519": node.ed25519.hex(), "ip": node.ip, "https_port": node.https_port, "omq_port": node.omq_port}
            for node in signed.statement.nodes
        ]
        result_json(_fields(signed, profile) | {"nodes": nodes})
    else:
        result(_text(signed, profile))


@nodes_app.command("verify")
def verify(
    list_: ListArgument,
    network: NetworkOption = "mainnet",
    *,
    unchecked: UncheckedOption = False,
    json: JsonOption = False,
) -> None:
    """Check that enough known signers signed a list, that it is of use now, and how many of its nodes seeds list."""
    profile, world = resolve_network(network), real.world()
    signed = _read(list_)
    share = None
    if not unchecked:
        try:
            share = _share(signed, world, profile)
        except NetworkError as error:
            note(f"{error}: it cannot be said how many of the nodes there are now.")
    if json:
        result_json(_fields(signed, profile) | {"listed_by_seeds": share})
    else:
        result(_text(signed, profile))
        if share is not None:
            result(f"seeds list {share:.0%} of its nodes now")
    _fit(signed, profile, world)
    if not profile.authority.trusts(signed):
        raise NotTrusted(
            f"the list is not signed by {profile.authority.needed} known signers"
            if profile.authority.needed
            else f"nobody is known to sign lists of {profile.authority.network}",
            remedy="It can still be imported, and is then used for the time being.",
        )


@nodes_app.command("sign")
def sign(
    list_: ListArgument,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", dir_okay=False, help="The signer's key.")],
    network: NetworkOption = "mainnet",
    *,
    out: OutOption = None,
    form: Annotated[Form, typer.Option("--format", help="file, text, qr or dns-txt.")] = Form.FILE,
    unchecked: UncheckedOption = False,
) -> None:
    """Add a signature to a list, after asking the seeds from here whether they list its nodes."""
    profile, world = resolve_network(network), real.world()
    signer, signed = _read_key(key), _read(list_)
    _fit(signed, profile, world)
    if not unchecked and (share := _share(signed, world, profile)) < ENOUGH:
        raise LocalError(
            f"seeds list only {share:.0%} of its nodes now, so it was not signed",
            remedy="Find out why, or make a new list; --unchecked signs it all the same.",
        )
    if signer.public not in profile.authority.keys:
        note("This key is not among the signers of the network: its signature does not count.")
    note(_text(signed, profile))
    _write(
        signed.signed_by(signer), form, out or (Path(list_) if form is Form.FILE and Path(list_).is_file() else None)
    )


@nodes_app.command("keygen")
def keygen(
    key: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="The file to make.")],
    *,
    json: JsonOption = False,
) -> None:
    """Make a signer's key in a new file of mode 0600, and print its public part."""
    if key.exists():
        raise LocalError(f"{key} is there already", remedy="Name a file that is not.")
    signer = Ed25519KeyPair.generate(real.world().entropy)
    try:
        write_private(key, signer.seed.hex().encode() + b"\n")
    except OSError as error:
        raise LocalError(f"{key} cannot be written: {error.strerror}") from None
    if json:
        result_json({"public": signer.public.hex()})
    else:
        result(signer.public.hex())


def _present(profile: NetworkProfile, world: World) -> SignedNodeList:
    """Return a list of what the seeds list now; if none answers, what was imported or `ramson path` last knew."""
    network = profile.authority.network
    try:
        found = run(_survey(world, profile))
    except NoSeeds as error:
        kept = _decoded(_imported(profile).read()) or _last_known(profile, world)
        if kept is None:
            raise
        note(f"{error}: this is the list of {_day(kept.statement.time_ms)} that is kept here.")
        return kept
    if not found.agreed:
        note("Only one seed answered: nobody confirms this list.")
    return SignedNodeList(node_list.state(network, found.nodes, height=found.height, time_ms=world.clock.now()))


def _last_known(profile: NetworkProfile, world: World) -> SignedNodeList | None:
    data = FileCache(data_directory() / f"nodes-{profile.fingerprint[:16]}.json").load()
    try:
        known = cache.decode(data or b"", profile.fingerprint, now_ms=world.clock.now()).known
        nodes = filter(node_list.listable, known.nodes)
        return SignedNodeList(node_list.state(profile.authority.network, nodes, height=0, time_ms=known.time_ms))
    except (ParseError, node_list.BadList):
        return None


# ---- in


def _read(source: str) -> SignedNodeList:
    """Read a list from wherever it is.  Raises LocalError, ParseError."""
    if source == "-":
        return node_list.decode(find_list(sys.stdin.buffer.read(MAX_INPUT)))
    if source.lower().startswith(SCHEME):
        return node_list.decode(find_list(source.encode()))
    try:
        with Path(source).open("rb") as file:
            data = file.read(MAX_INPUT)
    except OSError as error:
        raise LocalError(
            f"that is no list, and no file that can be read: {error.strerror}",
            remedy=f"Give a file, a picture of a QR code, the text ({SCHEME}…), or - to paste it.",
        ) from None
    return node_list.decode(find_list(data))


def _imported(profile: NetworkProfile) -> ListFile:
    return ListFile(imported_path(data_directory(), profile.authority.network))


def _decoded(data: bytes | None) -> SignedNodeList | None:
    with contextlib.suppress(RemoteError):
        return None if data is None else node_list.decode(data)
    return None


def _read_key(path: Path) -> Ed25519KeyPair:
    try:
        check_private(path)
        with path.open("rb") as file:
            seed = bytes.fromhex(file.read(KEY_FILE_SIZE + 1).decode().strip())
        return Ed25519KeyPair.from_seed(seed)
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}", remedy="Make a key: ramson nodes keygen") from None
    except ValueError:
        raise LocalError(f"{path} holds no signer's key", remedy="Make one: ramson nodes keygen") from None


def _fit(signed: SignedNodeList, profile: NetworkProfile, world: World) -> None:
    """Raise LocalError for a list that no client of the network would use now."""
    found = FoundList("list", signed)
    refused = judge([found], None, profile.authority, world.clock.now(), min_nodes=profile.min_pool).refused
    if refused:
        ((_, why),) = refused
        also = f", {signed.statement.network}" if why is Why.OTHER_NETWORK else ""
        raise LocalError(f"the list cannot be used: {why.value}{also}", remedy=_REMEDIES.get(why, "Get another list."))


_REMEDIES: Final = {
    Why.OTHER_NETWORK: "Name its network with --network.",
    Why.FUTURE: "Set this device's clock right.",
}


async def _survey(world: World, profile: NetworkProfile) -> Survey:
    reach = reach_settings().for_network(profile.name)
    try:
        with progress("Asking the seeds…"):
            async with open_entry(world, reach, data_directory() / "transports") as entry:
                return await survey(entry, profile, world.clock.now())
    finally:
        await world.net.close()


def _share(signed: SignedNodeList, world: World, profile: NetworkProfile) -> float:
    return share_listed(signed.statement, run(_survey(world, profile)).nodes)


# ---- out


def _write(signed: SignedNodeList, form: Form, out: Path | None) -> None:
    data = node_list.encode(signed)
    if form is Form.QR:
        _draw(to_qr_text(data), out)
    elif form is Form.FILE:
        if out is None:
            raise LocalError("a list in this form is not for the screen", remedy="Name a file with --out.")
        _save(out, data)
    else:
        text = to_uri(data) if form is Form.TEXT else "\n".join(f'"{record}"' for record in to_txt(data))
        if out is None:
            result(text)
        else:
            _save(out, text.encode() + b"\n")


def _draw(text: str, out: Path | None) -> None:
    import segno  # noqa: PLC0415 - only this needs it

    try:
        code = segno.make(text, error="l", boost_error=False, micro=False)
    except segno.DataOverflowError:
        raise LocalError("the list is too large for a QR code", remedy="Export a starter list: --starter") from None
    if out is None:
        code.terminal(out=sys.stdout, compact=True)
        return
    drawn = io.BytesIO()
    try:
        code.save(drawn, kind=out.suffix.lstrip(".").lower() or "png", scale=4)
    except ValueError:
        raise LocalError(f"cannot draw a {out.suffix} file", remedy="Name one that ends with .png or .svg.") from None
    _save(out, drawn.getvalue())


def _save(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise LocalError(f"{path} cannot be written: {error.strerror}") from None


def _fields(signed: SignedNodeList, profile: NetworkProfile) -> dict[str, Any]:
    said = signed.statement
    return {
        "network": said.network,
        "digest": said.digest.hex(),
        "height": said.height,
        "time_ms": said.time_ms,
        "soft_expiry_ms": said.soft_expiry_ms,
        "hard_expiry_ms": said.hard_expiry_ms,
        "part": said.part,
        "count": len(said.nodes),
        "signatures": len(signed.signatures),
        "signers": sorted(key.hex() for key in profile.authority.signers(signed)),
        "needed": profile.authority.needed,
        "trusted": profile.authority.trusts(signed),
    }


def _text(signed: SignedNodeList, profile: NetworkProfile) -> str:
    said, authority = signed.statement, profile.authority
    known = len(authority.signers(signed))
    needed = f"{authority.needed} are needed" if authority.needed else "nobody is known to sign lists of this network"
    return "\n".join(
        [
            f"network     {said.network}",
            f"nodes       {len(said.nodes)}{' (a part of the network)' if said.part else ''}",
            f"made        {_day(said.time_ms)}, at height {said.height}",
            f"fresh until {_day(said.soft_expiry_ms)}, refused from {_day(said.hard_expiry_ms)} on",
            f"signatures  {known} of known signers, {len(signed.signatures) - known} others; {needed}",
            f"digest      {said.digest.hex()}",
        ]
    )


def _day(time_ms: int) -> str:
    try:
        return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC).strftime(_DAY_FORMAT)
    except (ValueError, OverflowError, OSError):
        return "a time beyond all calendars"
