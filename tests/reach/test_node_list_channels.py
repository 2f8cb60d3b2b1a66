"""How signed node lists arrive: package, file, mirror, DNS over HTTPS; and what people have: pictures, messages."""

import importlib.util
import io
import random
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ramson.errors import LocalError, ParseError, RamsonError
from ramson.network import MAINNET, TESTNET
from ramson.protocol.list_channels import DnsChannel, ListChannels
from ramson.protocol.node_list import MAX_SIZE, decode, encode
from ramson.protocol.node_list_text import to_qr_text, to_txt, to_uri
from ramson.reach.list_input import NoListHere, find_list
from ramson.reach.node_lists import DnsTxt, ListFile, Mirror, NoList, Shipped, imported_path, with_lists
from ramson.world import Endpoint, HttpResponse, Tls

_spec = importlib.util.spec_from_file_location(
    "lists_for_channels", Path(__file__).parents[1] / "protocol" / "test_node_list.py"
)
lists = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lists)

DATA = encode(lists.a_list(30, 3, part=True))
NAME = "nodes.example.org"
CHANNEL = DnsTxt(DnsChannel(NAME, "https://192.0.2.53/dns-query"))


class Out:
    """An entry that answers as it is told and remembers what it was asked."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    async def fetch(self, endpoint, request, *, tls, timeout):  # noqa: ASYNC109 - Entry's
        self.asked.append((endpoint, request, tls))
        return self.answer(request) if callable(self.answer) else self.answer


# ---- mirror


async def test_a_mirror_is_asked_for_a_file_named_after_the_network():
    out = Out(HttpResponse(200, {}, DATA))
    assert await Mirror("https://example.org:8443/some/place/", "devnet-1").fetch(out) == DATA
    ((endpoint, request, tls),) = out.asked
    assert endpoint == Endpoint("example.org", 8443)
    assert (request.method, request.target, request.body) == ("GET", "/some/place/devnet-1.nodes", b"")
    assert tls == Tls(verify=True)


async def test_a_mirror_without_the_file_has_no_list():
    with pytest.raises(NoList):
        await Mirror("http://example.org", "devnet-1").fetch(Out(HttpResponse(404, {}, b"not found")))


# ---- DNS


def answering(records, *, rcode=dns.rcode.NOERROR, name=NAME, alias="", change=lambda message: None):
    def answer(request):
        message = dns.message.make_response(dns.message.from_wire(request.body))
        message.set_rcode(rcode)
        if alias:
            message.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", f"{alias}."))
        if records:
            texts = [f'"{record}"' for record in records]
            message.answer.append(dns.rrset.from_text(f"{alias or name}.", 60, "IN", "TXT", *texts))
        change(message)
        return HttpResponse(200, {"content-type": "application/dns-message"}, message.to_wire())

    return Out(answer)


async def test_dns_records_are_asked_for_as_rfc_8484_says_and_put_together():
    records = to_txt(DATA)
    random.Random(1).shuffle(records)
    out = answering(["v=spf1 -all", *records])
    assert await CHANNEL.fetch(out) == DATA
    ((endpoint, request, tls),) = out.asked
    assert endpoint == Endpoint("192.0.2.53", 443)
    assert (request.method, request.target) == ("POST", "/dns-query")
    assert request.headers == {"Accept": "application/dns-message", "Content-Type": "application/dns-message"}
    assert tls == Tls(verify=True)
    query = dns.message.from_wire(request.body)
    assert query.id == 0
    assert len(request.body) % 128 == 0  # padded: its length does not tell which name it is about


async def test_an_alias_is_followed():
    assert await CHANNEL.fetch(answering(to_txt(DATA), alias="lists.example.net")) == DATA


async def test_records_of_a_name_that_was_not_asked_for_do_not_count():
    with pytest.raises(ParseError):
        await CHANNEL.fetch(answering(to_txt(DATA), name="evil.example.org"))


@pytest.mark.parametrize(
    "out",
    [
        answering([]),
        answering([], rcode=dns.rcode.NXDOMAIN),
        answering(to_txt(DATA)[1:]),
        answering(to_txt(DATA), rcode=dns.rcode.SERVFAIL),
        answering(to_txt(DATA), change=lambda message: setattr(message, "id", 7)),
        answering(to_txt(DATA), change=lambda message: message.question.clear()),
        Out(HttpResponse(400, {}, b"")),
        Out(HttpResponse(200, {}, b"")),
        Out(HttpResponse(200, {}, b"<html>no DNS here")),
        Out(HttpResponse(200, {}, bytes(70_000))),
    ],
)
async def test_other_answers_are_refused(out):
    with pytest.raises((NoList, ParseError)):
        await CHANNEL.fetch(out)


@given(noise=st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
async def test_noise_from_a_resolver_is_refused(noise):
    for body in (noise, bytes.fromhex("000081800001000100000000") + noise):
        with pytest.raises((NoList, ParseError)):
            await CHANNEL.fetch(Out(HttpResponse(200, {}, body)))


async def test_a_name_that_is_none_is_the_callers_mistake():
    with pytest.raises(LocalError):
        await DnsTxt(DnsChannel("a" * 70 + ".org", "https://192.0.2.53/dns-query")).fetch(Out(None))


# ---- on this machine


async def test_a_file_is_read_and_a_missing_one_is_no_list(tmp_path):
    file = ListFile(tmp_path / "x.nodes")
    with pytest.raises(NoList):
        await file.fetch(Out(None))
    file.path.write_bytes(DATA)
    assert await file.fetch(Out(None)) == DATA
    file.path.write_bytes(bytes(MAX_SIZE + 1000))
    with pytest.raises(ParseError):
        decode(await file.fetch(Out(None)))


async def test_a_list_in_the_package_is_found_by_the_name_of_its_network(tmp_path, monkeypatch):
    monkeypatch.setattr("ramson.reach.node_lists.resources.files", lambda _package: tmp_path)
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "devnet-1.nodes").write_bytes(DATA)
    assert await Shipped("devnet-1").fetch(Out(None)) == DATA
    with pytest.raises(NoList):
        await Shipped("devnet-2").fetch(Out(None))


@pytest.mark.parametrize("profile", [MAINNET, TESTNET])
async def test_no_list_of_a_public_network_is_shipped_and_nobody_is_believed_to_sign_one(profile):
    """There are no public signers yet: this says so until somebody changes it on purpose."""
    assert profile.authority.keys == frozenset()
    with pytest.raises(NoList):
        await Shipped(profile.authority.network).fetch(Out(None))


def test_a_profile_gets_all_channels_there_are(tmp_path):
    channels = ListChannels(MAINNET.authority, ("https://a.example", "https://b.example"), (CHANNEL.channel,))
    profile = with_lists(MAINNET, channels=channels, directory=tmp_path)
    assert [source.name for source in profile.lists] == [
        "list in the package",
        "imported list",
        "mirror a.example",
        "mirror b.example",
        "DNS nodes.example.org",
    ]
    assert [source.local for source in profile.lists] == [True, True, False, False, False]
    assert imported_path(tmp_path, "mainnet") == tmp_path / "node-lists" / "mainnet.nodes"


# ---- what a person has


def picture(text: str, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    segno.make(text, error="l", boost_error=False, micro=False).save(out, kind="png", scale=3)
    image = Image.open(out).convert("RGB")
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


ZONE = "".join(f'nodes.example.org. 3600 IN TXT "{record}"\n' for record in to_txt(DATA))


@pytest.mark.parametrize(
    "given_form",
    [
        DATA,
        to_uri(DATA).encode(),
        to_qr_text(DATA).encode(),
        f"Hello!\nTake this list: {to_uri(DATA)}\nand call me.".encode(),
        "\n".join(to_uri(DATA)[i : i + 76] for i in range(0, len(to_uri(DATA)), 76)).encode(),
        "\n".join(to_txt(DATA)).encode(),
        ZONE.encode(),
    ],
)
def test_a_list_is_found_in_whatever_holds_it(given_form):
    assert find_list(given_form) == DATA


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_a_list_is_found_in_a_picture_of_its_qr_code(kind):
    assert find_list(picture(to_qr_text(DATA), kind)) == DATA


@pytest.mark.parametrize(
    "given_form",
    [b"", b"hello", b"\xff\xfe\xfd", picture("something else"), b"\x89PNG\r\n\x1a\nbroken", b"ramson-nodes: none"],
)
def test_without_a_list_somebody_is_told(given_form):
    with pytest.raises(RamsonError):
        find_list(given_form)
    with pytest.raises(NoListHere):
        find_list(b"nothing")


def test_a_picture_without_a_code_is_told_apart():
    out = io.BytesIO()
    Image.new("L", (60, 60), 255).save(out, "PNG")
    with pytest.raises(NoListHere, match="no QR code"):
        find_list(out.getvalue())


@pytest.mark.parametrize("side", [8_000, 10_000, 15_000])
def test_a_picture_that_would_fill_the_memory_is_refused_unread(side):
    out = io.BytesIO()
    Image.new("1", (side, side), 1).save(out, "PNG")
    with pytest.raises(LocalError, match="too large"):
        find_list(out.getvalue())
