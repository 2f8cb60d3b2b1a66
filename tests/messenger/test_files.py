"""Attachments and transfers against a server that is a function, so that it can do whatever a test wants."""

import asyncio
import contextlib
import hashlib
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto.files import FileTooLarge
from ramson.errors import ParseError
from ramson.messenger import file_transfers
from ramson.messenger.file_errors import FileError, FileGone
from ramson.messenger.file_names import safe_name
from ramson.messenger.file_transfers import TRIES, Transfers, UnknownServer
from ramson.messenger.files import Files, Form, NoSeed, _fingerprint
from ramson.network import Failure, RequestFailed
from ramson.protocol.file_server import (
    OFFICIAL,
    FileInfo,
    FileServer,
    content_id,
    content_range,
    encode_info,
    parse_range,
)
from ramson.protocol.file_url import FileUrl
from ramson.protocol.server_v4 import ServerResponse
from ramson.world import World, real
from ramson.world.real import ThreadDisk

SERVER = FileServer("http://10.0.0.1:8080", bytes(range(32)), ranges=True)
SEED = bytes(range(32))


class PretendServer:
    """Keeps files in a dict.  `script` holds what happens first to the next requests: an error, a code, or None."""

    def __init__(self, *, ranges=True, ids=content_id):
        self.files = {}
        self.script = []
        self.requests = []
        self.ranges = ranges
        self.ids = ids
        self.broken_after = None

    async def call_server(self, server, request, *, seconds=10.0):
        self.requests.append((server, request))
        await asyncio.sleep(0)
        happens = self.script.pop(0) if self.script else None
        if isinstance(happens, Exception):
            raise happens
        if isinstance(happens, ServerResponse):
            return happens
        if isinstance(happens, int):
            return ServerResponse(happens)
        if request.method == "POST" and request.endpoint == "/file":
            file_id = self.ids(request.body)
            self.files[file_id] = request.body
            return ServerResponse(200, {}, encode_info(FileInfo(file_id, len(request.body), 1000, 2000)))
        file_id = request.endpoint.split("/")[2]
        if file_id not in self.files:
            return ServerResponse(404)
        content = self.files[file_id]
        if request.endpoint.endswith(("/info", "/extend")):
            return ServerResponse(200, {}, encode_info(FileInfo("", len(content), 1000, 2000)))
        wanted = request.headers.get("Range")
        if wanted and self.ranges:
            try:
                part = parse_range(wanted, len(content))
            except ParseError:
                return ServerResponse(416)
            headers = {"content-range": content_range(part, len(content))}
            return ServerResponse(206, headers, content[part.first : part.last + 1])
        return ServerResponse(200, {}, content)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(file_transfers, "FIRST_PAUSE", 0.0)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(file_transfers, "PIECE", 1000)


@pytest.fixture
def server():
    return PretendServer()


def world():
    return World(real.SystemClock(), random.Random(1), None, ThreadDisk, None)


@pytest.fixture
async def files(server):
    async with Files(server, world(), SERVER) as files:
        yield files


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("size", [0, 1, 5000, 40_000])
async def test_an_attachment_goes_and_comes_back(files, server, tmp_path, form, size):
    data = random.Random(size).randbytes(size)
    (tmp_path / "cat.webp").write_bytes(data)
    details = {"name": "cat.webp", "content_type": "image/webp", "width": 30, "height": 20, "caption": "Cat"}
    attachment = await files.attach(tmp_path / "cat.webp", form=form, seed=SEED, **details)
    assert attachment.size == size
    assert (attachment.file_name, attachment.content_type, attachment.caption) == ("cat.webp", "image/webp", "Cat")
    assert (len(attachment.key), len(attachment.digest)) == ((64, 32) if form is Form.LEGACY else (32, 0))
    url = FileUrl.parse(attachment.url)
    assert url.deterministic is (form is Form.DETERMINISTIC)
    (blob,) = server.files.values()
    assert size < 40 or data[:40] not in blob
    assert await files.load(attachment) == data
    await files.save(attachment, tmp_path / "again.webp")
    assert (tmp_path / "again.webp").read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.webp", "cat.webp"]


async def test_the_same_file_is_the_same_blob_only_in_the_deterministic_form(files, server):
    for _ in range(2):
        await files.attach(b"content", form=Form.DETERMINISTIC, seed=SEED)
    assert len(server.files) == 1
    for _ in range(2):
        await files.attach(b"content")
    assert len(server.files) == 3


async def test_numeric_ids_go_into_the_pointer():
    server = PretendServer(ids=lambda _: "1234")
    async with Files(server, world(), SERVER) as files:
        attachment = await files.attach(b"content")
        assert attachment.id == 1234
        assert await files.load(attachment) == b"content"


async def test_progress_is_told(files):
    told = []
    attachment = await files.attach(bytes(4000), progress=lambda done, total: told.append((done, total)))
    size = told[-1][1]
    assert told == [(0, size), (size, size)]
    told.clear()
    await files.load(attachment, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, -1)
    assert [done for done, _ in told[1:]] == [*range(1000, size, 1000), size]
    assert {total for _, total in told[1:]} == {size}


async def test_a_lifetime_can_be_asked_for(files, server):
    await files.attach(b"x", ttl_s=60)
    assert server.requests[-1][1].headers["X-FS-TTL"] == "60"
    (file_id,) = server.files
    await files.transfers.extend(FileUrl(SERVER.url, file_id), ttl_s=9)
    assert server.requests[-1][1].headers == {"X-FS-TTL": "9"}


async def test_a_server_can_be_asked_about_a_file(files):
    attachment = await files.attach(b"content")
    info = await files.transfers.info(FileUrl.parse(attachment.url))
    assert (info.uploaded_ms, info.expires_ms) == (1000, 2000)
    with pytest.raises(FileGone):
        await files.transfers.info(FileUrl(SERVER.url, "1"))


# ---- what comes is checked


@pytest.mark.parametrize("form", list(Form))
async def test_a_changed_file_is_refused_and_leaves_nothing(files, server, tmp_path, form):
    attachment = await files.attach(bytes(5000), form=form, seed=SEED)
    (file_id,) = server.files
    blob = bytearray(server.files[file_id])
    blob[3000] ^= 1
    server.files[file_id] = bytes(blob)
    with pytest.raises(ParseError):
        await files.load(attachment)
    with pytest.raises(ParseError):
        await files.save(attachment, tmp_path / "cat")
    assert list(tmp_path.iterdir()) == []


async def test_a_wrong_digest_is_refused(files):
    attachment = await files.attach(b"content")
    for digest in (bytes(32), b""):
        with pytest.raises(ParseError, match="digest"):
            await files.load(replace(attachment, digest=digest))


async def test_an_attachment_that_cannot_be_right_is_not_even_asked_for(files, server):
    attachment = await files.attach(b"content")
    server.requests.clear()
    for wrong in ({"key": bytes(32)}, {"url": attachment.url + "#d"}, {"url": ""}, {"url": "http://x/../1"}):
        with pytest.raises(ParseError):
            await files.load(replace(attachment, **wrong))
    assert server.requests == []


async def test_an_old_file_at_the_target_survives_a_failure(files, tmp_path):
    attachment = await files.attach(b"content")
    (tmp_path / "cat").write_bytes(b"old")
    with pytest.raises(ParseError):
        await files.save(replace(attachment, digest=bytes(32)), tmp_path / "cat")
    assert (tmp_path / "cat").read_bytes() == b"old"
    await files.save(attachment, tmp_path / "cat")
    assert (tmp_path / "cat").read_bytes() == b"content"


@pytest.mark.parametrize(
    "reply",
    [
        ServerResponse(206, {}, b"x"),
        ServerResponse(206, {"content-range": "bytes 5-9/10"}, b"12345"),
        ServerResponse(206, {"content-range": "bytes 0-9/10"}, b"short"),
        ServerResponse(206, {"content-range": "bytes 0-4/99999999999"}, b"12345"),
        ServerResponse(206, {"content-range": "bytes 0-4/*"}, b"12345"),
    ],
)
async def test_parts_that_were_not_asked_for_are_refused(files, server, reply):
    attachment = await files.attach(b"content")
    server.script = [reply]
    with pytest.raises(ParseError):
        await files.load(attachment)


async def test_a_file_that_changes_its_size_is_refused(files, server):
    attachment = await files.attach(bytes(5000))
    first = ServerResponse(206, {"content-range": "bytes 0-999/2000"}, bytes(1000))
    server.script = [first]
    with pytest.raises(ParseError):
        await files.load(attachment)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"id": "../x"}', b"[]", b"\xff"])
async def test_a_reply_to_an_upload_without_an_id_is_refused(files, server, body):
    server.script = [ServerResponse(200, {}, body)]
    with pytest.raises(ParseError):
        await files.attach(b"x")


# ---- going on


async def test_an_interrupted_download_goes_on_where_it_stopped(files, server, tmp_path):
    attachment = await files.attach(bytes(5000))
    server.requests.clear()
    failure = RequestFailed(Failure.PATH_TIMEOUT)
    server.script = [None, None, *[failure] * TRIES]
    with pytest.raises(RequestFailed):
        await files.save(attachment, tmp_path / "cat")
    (part,) = tmp_path.iterdir()
    assert part.stat().st_size == 2000
    assert part.stat().st_mode & 0o077 == 0
    server.requests.clear()
    async with Files(server, world(), SERVER) as later:
        await later.save(attachment, tmp_path / "cat")
    assert server.requests[0][1].headers == {"Range": "bytes=2000-2999"}
    assert [path.name for path in tmp_path.iterdir()] == ["cat"]


async def test_a_download_that_was_complete_but_not_opened_is_opened(files, server, tmp_path):
    attachment = await files.attach(bytes(5000))
    (blob,) = server.files.values()
    part = tmp_path / await name_of_part(files, server, attachment, tmp_path)
    part.write_bytes(blob)
    server.requests.clear()
    await files.save(attachment, tmp_path / "cat")
    assert (tmp_path / "cat").read_bytes() == bytes(5000)
    assert len(server.requests) == 1


async def test_a_damaged_rest_of_an_earlier_download_is_fetched_again(files, server, tmp_path):
    attachment = await files.attach(bytes(5000))
    part = tmp_path / await name_of_part(files, server, attachment, tmp_path)
    for rest in (b"\x00" * 1500, b"\x00" * 50_000):
        part.write_bytes(rest)
        await files.save(attachment, tmp_path / "cat")
        assert (tmp_path / "cat").read_bytes() == bytes(5000)
        assert not part.exists()


async def name_of_part(files, server, attachment, directory):
    server.script = [None] + [RequestFailed(Failure.PATH_TIMEOUT)] * TRIES
    with pytest.raises(RequestFailed):
        await files.save(attachment, directory / "probe")
    (part,) = directory.glob(".*.part")
    return part.name


async def test_a_server_that_does_not_serve_parts_is_not_asked_for_them():
    server = PretendServer()
    async with Files(server, world(), replace(SERVER, ranges=False)) as files:
        attachment = await files.attach(bytes(5000))
        assert await files.load(attachment) == bytes(5000)
    assert server.requests[-1][1].headers == {}


async def test_a_server_that_sends_the_whole_file_after_all_is_understood(tmp_path):
    server = PretendServer(ranges=False)
    async with Files(server, world(), SERVER) as files:
        attachment = await files.attach(bytes(5000))
        assert await files.load(attachment) == bytes(5000)
        (blob,) = server.files.values()
        part = tmp_path / "x"
        await files.transfers.fetch_from(FileUrl.parse(attachment.url), 1500, lambda piece: append(part, piece))
        assert part.read_bytes() == blob[1500:]


async def append(path, piece):
    with path.open("ab") as file:
        file.write(piece)


# ---- trying again


@pytest.mark.parametrize("trouble", [RequestFailed(Failure.PATH_TIMEOUT), 429, 500, 503])
async def test_what_may_pass_is_tried_again(files, server, trouble):
    server.script = [trouble, trouble]
    attachment = await files.attach(b"content")
    server.script = [trouble, trouble]
    assert await files.load(attachment) == b"content"
    server.script = [trouble] * TRIES
    with pytest.raises((RequestFailed, FileError)):
        await files.load(attachment)
    assert not server.script


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (404, FileGone),
        (400, FileError),
        (413, FileError),
        (507, FileError),
        (RequestFailed(Failure.SERVER_NOT_FOUND), RequestFailed),
    ],
)
async def test_what_will_not_pass_is_not_tried_again(files, server, trouble, error):
    attachment = await files.attach(b"content")
    server.script = [trouble, trouble]
    with pytest.raises(error):
        await files.load(attachment)
    assert len(server.script) == 1


async def test_a_file_that_is_gone_takes_its_rest_with_it(files, server, tmp_path):
    attachment = await files.attach(bytes(5000))
    await name_of_part(files, server, attachment, tmp_path)
    server.files.clear()
    with pytest.raises(FileGone):
        await files.save(attachment, tmp_path / "cat")
    assert list(tmp_path.iterdir()) == []


async def test_too_large_a_file_never_leaves(files, server):
    with pytest.raises(FileTooLarge):
        await files.attach(bytes(10_000_001))
    with pytest.raises(FileTooLarge):
        await files.attach(bytes(10_218_287), form=Form.DETERMINISTIC, seed=SEED)
    with pytest.raises(FileTooLarge):
        await files.transfers.upload(bytes(10_223_617), deterministic=False)
    with pytest.raises(NoSeed):
        await files.attach(b"x", form=Form.DETERMINISTIC)
    assert server.requests == []


# ---- whom to ask


OTHER = FileServer("http://files.example.org", bytes(range(1, 33)))


def test_only_trusted_servers_are_asked():
    transfers = Transfers(PretendServer(), SERVER, real.SystemClock(), default=OFFICIAL)
    official = FileUrl.parse(f"{OFFICIAL.url}/file/1")
    desktop = FileUrl.parse(f"{OFFICIAL.url}/file/1#p={OFFICIAL.also[0].hex()}")
    own = FileUrl.parse(f"{SERVER.url}/file/1#p={SERVER.x25519.hex()}")
    other = FileUrl.parse(f"{OTHER.url}/file/1#p={OTHER.x25519.hex()}")
    assert transfers.server_of(official) is OFFICIAL
    assert transfers.server_of(desktop) is OFFICIAL
    assert transfers.server_of(own) is SERVER
    wrong_key = f"{SERVER.url}/file/1#p={OTHER.x25519.hex()}"
    for url in (other, FileUrl.parse(wrong_key), FileUrl.parse(f"{SERVER.url}/file/1")):
        with pytest.raises(UnknownServer):
            transfers.server_of(url)
    transfers.trust(OTHER)
    assert transfers.server_of(other) is OTHER


async def test_a_server_that_is_not_the_default_is_named_in_the_url(server):
    async with Files(server, world(), SERVER, default=OFFICIAL) as files:
        attachment = await files.attach(b"content", form=Form.DETERMINISTIC, seed=SEED)
        assert attachment.url.endswith(f"#d&p={SERVER.x25519.hex()}")
        assert await files.load(attachment) == b"content"


# ---- names


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("cat.webp", "cat.webp"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\x", "C__x"),
        (".bashrc", "bashrc"),
        ("a\x00b\nc", "a_b_c"),
        ("invoice\u202efdp.exe", "invoice_fdp.exe"),
        ("name. . ", "name"),
        ("...", ""),
        ("\ud800", "_"),
    ],
)
def test_names_of_strangers_are_made_safe(name, safe):
    assert safe_name(name) == safe


@given(st.text(max_size=400))
def test_every_name_is_made_safe(name):
    safe = safe_name(name)
    assert len(safe.encode()) <= 255
    assert not set(safe) & set("/\\\x00\n\u202e")
    assert safe not in {".", ".."}
    assert safe_name(safe) == safe


@pytest.mark.parametrize("hidden", [".part", ".new"])
async def test_a_link_that_somebody_put_there_leads_nowhere(files, tmp_path, hidden):
    """In a directory of many, such as /tmp."""
    attachment = await files.attach(bytes(5000))
    directory = tmp_path / "shared"
    directory.mkdir()
    treasure = tmp_path / "treasure"
    treasure.write_bytes(b"precious")
    url = FileUrl.parse(attachment.url)
    link = {
        ".part": f".{_fingerprint(url)}.part",
        ".new": f".{hashlib.blake2b(b'cat', digest_size=16).hexdigest()}.new",
    }[hidden]
    (directory / link).symlink_to(treasure)
    with contextlib.suppress(OSError):
        await files.save(attachment, directory / "cat")
    assert treasure.read_bytes() == b"precious"
