"""Uploads in pieces, against a server that is a function: what is sent, what is sent again, and what is given up."""

import asyncio
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.errors import ParseError, RemoteError
from ramson.messenger import file_transfers, pieces
from ramson.messenger.file_errors import FileError
from ramson.messenger.file_transfers import Transfers
from ramson.messenger.pieces import AIM, PieceSize
from ramson.network import Failure, RequestFailed
from ramson.protocol import resumable_uploads
from ramson.protocol.file_server import OFFICIAL, FileInfo, FileServer, content_id, encode_info
from ramson.protocol.resumable_uploads import MAX_PIECE, MIN_PIECE, Standing, standing_headers, upload_id
from ramson.protocol.server_v4 import ServerResponse

SERVER = FileServer("http://10.0.0.1:8080", bytes(range(32)), resumable=True)
BLOB = random.Random(1).randbytes(1000)
LOST = RequestFailed(Failure.PATH_TIMEOUT)


class Clock:
    """Stands still, but for what a slow link takes."""

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return int(self.seconds * 1000)

    def monotonic(self):
        return self.seconds


class PretendServer:
    """Takes pieces as our server does.

    `script` holds what happens to the next requests: "request" or "answer" is lost, the upload is "forgotten", a code
    is answered, or None.  A link of `rate` bytes per second loses what takes longer than `patience` seconds.
    """

    def __init__(self, clock=None, *, rate=None, patience=30.0):
        self.uploads = {}
        self.files = []
        self.script = []
        self.requests = []
        self.sent = 0  # bytes of bodies that arrived
        self.clock = clock or Clock()
        self.rate = rate
        self.patience = patience

    async def call_server(self, server, request, *, seconds=10.0, attempts=3):
        assert attempts == 1 or not request.body or "Upload-Complete" not in request.headers
        self.requests.append(request)
        await asyncio.sleep(0)
        if self.rate is not None:
            takes = len(request.body or b"") / self.rate + 0.5
            self.clock.seconds += min(takes, self.patience)
            if takes > self.patience:
                raise LOST
        happens = self.script.pop(0) if self.script else None
        if happens == "request":
            raise LOST
        if happens == "forgotten":
            self.uploads.clear()
        if isinstance(happens, int):
            return ServerResponse(happens)
        reply = self.answer(request)
        if happens == "answer":
            raise LOST
        return reply

    def answer(self, request):
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = request.body or b""
        self.sent += len(body)
        if request.endpoint == "/file" and "upload-complete" not in headers:
            return self.file(body)
        if request.endpoint == "/file":
            place = "/uploads/" + upload_id(random.Random(len(self.requests)).randbytes(32))
            upload = self.uploads[place] = [resumable_uploads.parse_creation(headers), b"", False]
            upload[1] = body
            return ServerResponse(201, self.standing(upload) | {"location": place})
        upload = self.uploads.get(request.endpoint)
        if upload is None:
            return ServerResponse(404)
        if request.method == "HEAD":
            return ServerResponse(204, self.standing(upload))
        piece = resumable_uploads.parse_piece(headers)
        if upload[2]:
            return self.file(upload[1], again=True) if piece.last else ServerResponse(409, self.standing(upload))
        if piece.offset != len(upload[1]):
            return ServerResponse(409, self.standing(upload))
        resumable_uploads.check_piece(piece, len(body), upload[0])
        upload[1] += body
        if not piece.last:
            return ServerResponse(204, self.standing(upload))
        upload[2] = True
        return self.file(upload[1])

    def file(self, content, *, again=False):
        if not again:
            self.files.append(content)
        return ServerResponse(200, {}, encode_info(FileInfo(content_id(content), len(content), 1000, 2000)))

    @staticmethod
    def standing(upload):
        return standing_headers(Standing(len(upload[1]), upload[0], complete=upload[2]))


@pytest.fixture(autouse=True, scope="module")
def small_and_quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "FIRST_PAUSE", 0.0)
        patch.setattr(file_transfers, "FIRST_PAUSE", 0.0)
        for module in (pieces, resumable_uploads):
            patch.setattr(module, "MIN_PIECE", 10)
            patch.setattr(module, "MAX_PIECE", 200)
        patch.setattr(pieces, "FIRST", 100)
        yield


@pytest.fixture
def server():
    return PretendServer()


def transfers(server, where=SERVER):
    return Transfers(server, where, server.clock)


async def upload(server, *, blob=BLOB, where=SERVER, **more):
    return await transfers(server, where).upload(blob, deterministic=False, **more)


async def test_a_file_goes_in_pieces_and_tells_how_far_it_is(server):
    told, notes = [], []
    uploaded = await upload(server, ttl_s=60, progress=lambda *step: told.append(step), note=notes.append)
    assert uploaded.url.id == content_id(BLOB)
    assert server.files == [BLOB]
    assert [request.method for request in server.requests] == ["POST", *["PATCH"] * (len(server.requests) - 1)]
    assert server.requests[0].headers["X-FS-TTL"] == "60"
    assert max(len(request.body) for request in server.requests) <= 200
    assert told[0] == (0, 1000)
    assert told[-1] == (1000, 1000)
    assert told == sorted(set(told))
    assert len(told) > 5
    (place,) = server.uploads
    assert notes == [SERVER.url + place]


async def test_a_small_file_goes_at_once(server):
    await upload(server, blob=BLOB[:100])
    (request,) = server.requests
    assert (request.method, request.endpoint, set(request.headers)) == ("POST", "/file", {"Content-Type"})


@pytest.mark.parametrize("where", [replace(SERVER, resumable=False), OFFICIAL])
async def test_a_server_that_is_not_known_to_take_pieces_never_sees_any(server, where):
    place = where.url + "/uploads/" + "A" * 43
    for begun in ("", place):
        await upload(server, where=where, begun=begun)
    assert [(request.method, request.endpoint) for request in server.requests] == [("POST", "/file")] * 2
    assert all(set(request.headers) == {"Content-Type"} for request in server.requests)
    assert server.files == [BLOB, BLOB]


@pytest.mark.parametrize("code", [200, 404, 405, 501, 507])
async def test_a_server_that_takes_no_pieces_after_all_gets_the_whole_file(server, code):
    server.script = [code]
    assert (await upload(server)).url.id == content_id(BLOB)
    assert len(server.requests) == 2
    assert server.files == [BLOB]


async def test_what_is_too_large_is_told(server):
    server.script = [413]
    with pytest.raises(FileError) as refused:
        await upload(server)
    assert refused.value.status == 413


@pytest.mark.parametrize("lost", ["request", "answer"])
@pytest.mark.parametrize("which", range(5))
async def test_what_was_lost_is_asked_for_and_nothing_that_arrived_is_sent_again(server, which, lost):
    server.script = [None] * which + [lost]
    await upload(server)
    assert server.files == [BLOB]
    assert server.requests[which + 1].method == ("POST" if which == 0 else "HEAD")
    assert server.sent == len(BLOB) + (100 if (which, lost) == (0, "answer") else 0)  # nobody knows where that one is


async def test_the_last_answer_is_had_again(server):
    await upload(server)
    count = len(server.requests)
    again = PretendServer()
    again.script = [None] * (count - 1) + ["answer"]
    assert (await upload(again)).url.id == content_id(BLOB)
    assert again.files == [BLOB]
    assert [(request.method, request.body) for request in again.requests[count:]] == [("HEAD", None), ("PATCH", b"")]


async def test_an_upload_goes_on_after_a_restart(server):
    notes, told = [], []
    server.script = [None, None, None, *["request"] * 9]
    with pytest.raises(RequestFailed):
        await upload(server, note=notes.append)
    server.script, before = [], server.sent
    server.requests.clear()
    await upload(server, begun=notes[-1], progress=lambda done, _: told.append(done))
    assert server.requests[0].method == "HEAD"
    assert told[0] == before
    assert server.sent == len(BLOB)
    assert server.files == [BLOB]


async def test_where_an_upload_goes_on_is_told_to_no_other_server(server):
    await upload(server, begun="http://10.0.0.2/uploads/" + "A" * 43)
    assert all("A" * 43 not in request.endpoint for request in server.requests)
    assert server.files == [BLOB]


async def test_other_bytes_are_never_put_behind_half_a_file(server):
    notes = []
    server.script = [None, None, None, *["request"] * 9]
    with pytest.raises(RequestFailed):
        await upload(server, note=notes.append)
    server.script = []
    with pytest.raises(ParseError):
        await upload(server, blob=BLOB[:-1], begun=notes[-1], note=notes.append)
    assert notes[-1] == ""
    with pytest.raises(ParseError):  # of the same length: only the whole tells
        await upload(server, blob=bytes(1000), begun=notes[-2], note=notes.append)
    assert notes[-1] == ""


async def test_an_upload_that_the_server_forgot_begins_anew_once(server):
    notes = []
    server.script = [None, None, "forgotten"]
    await upload(server, note=notes.append)
    assert server.files == [BLOB]
    assert [bool(note) for note in notes] == [True, False, True]
    server.script = [None, "forgotten"] * 2
    with pytest.raises(FileError) as refused:
        await upload(server, note=notes.append)
    assert refused.value.status == 404
    assert notes[-1] == ""


async def test_who_tells_progress_may_end_it(server):
    class EnoughError(Exception):
        pass

    def progress(done, _total):
        if done >= 300:
            raise EnoughError

    with pytest.raises(EnoughError):
        await upload(server, progress=progress)
    assert server.files == []
    assert 300 <= server.sent <= 500


@pytest.mark.parametrize("code", [204, 409])
async def test_a_server_that_makes_no_headway_is_left(server, code):
    answer = server.answer

    def stuck(request):
        reply = answer(request)
        if request.method == "PATCH":
            return ServerResponse(code, standing_headers(Standing(100, 1000, complete=False)))
        return reply

    server.answer = stuck
    with pytest.raises(ParseError):
        await upload(server)
    assert len(server.requests) < 20


async def test_a_server_that_goes_on_by_single_bytes_is_left(server):
    answer, offset = server.answer, iter(range(101, 1000))

    def creeping(request):
        reply = answer(request)
        if request.method == "PATCH":
            return ServerResponse(204, standing_headers(Standing(next(offset), 1000, complete=False)))
        return reply

    server.answer = creeping
    with pytest.raises(ParseError):
        await upload(server)
    assert len(server.requests) < 20


@pytest.mark.parametrize(
    "reply",
    [
        ServerResponse(201),
        ServerResponse(201, {"location": "/uploads/x"} | standing_headers(Standing(1, 1000, complete=False))),
        ServerResponse(201, {"location": "http://x/uploads/" + "A" * 43}),
        ServerResponse(201, {"location": "/uploads/" + "A" * 43, "upload-offset": "x"}),
        ServerResponse(201, {"location": "/uploads/" + "A" * 43} | standing_headers(Standing(1, 999, complete=False))),
    ],
)
async def test_answers_that_make_no_sense_are_refused(server, reply):
    server.answer = lambda _: reply
    with pytest.raises(ParseError):
        await upload(server)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([None, None, None, "request", "answer", "forgotten", 503, 429, 500]), max_size=40),
    st.integers(101, 1000),
)
def test_whatever_happens_the_file_arrives_once_and_whole_or_an_error_is_told(script, size):
    async def main():
        server, begun, blob = PretendServer(), [""], BLOB[:size]
        server.script = list(script)
        told = []
        for _ in range(60):  # each a restart of the program
            try:
                uploaded = await upload(
                    server,
                    blob=blob,
                    begun=begun[-1],
                    note=begun.append,
                    progress=lambda done, total: told.append((done, total)),
                )
            except (RequestFailed, RemoteError):
                continue
            assert uploaded.url.id == content_id(blob)
            assert set(server.files) == {blob}
            if "forgotten" not in script:
                assert len(server.files) == 1
            assert all(0 <= done <= total == size for done, total in told)
            return
        raise AssertionError("it never arrived")

    asyncio.run(main())


# ---- how large pieces are


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10**7), st.floats(0, 100)), max_size=30))
def test_pieces_stay_within_their_bounds(steps):
    size = PieceSize()
    for went, count, seconds in steps:
        if went:
            size.went(count, seconds)
        else:
            size.failed(count)
        assert pieces.MIN_PIECE <= size.bytes <= pieces.MAX_PIECE


def test_pieces_shrink_at_once_and_grow_by_and_by():
    size = PieceSize()
    size.failed(100)
    assert size.bytes == 25
    size.went(25, 0.1)
    assert size.bytes == 50
    size.went(20, 100.0)  # the end of a file says little
    assert size.bytes == 50
    size.went(50, 2 * AIM)
    assert size.bytes == 25


@pytest.mark.parametrize("kilobytes", [2, 5, 10, 30, 100, 1000, 100_000])
async def test_any_link_gets_a_file_out_that_at_once_would_not_pass(monkeypatch, kilobytes):
    for module in (pieces, resumable_uploads):
        monkeypatch.setattr(module, "MIN_PIECE", MIN_PIECE)
        monkeypatch.setattr(module, "MAX_PIECE", MAX_PIECE)
    monkeypatch.setattr(pieces, "FIRST", 256 * 1024)
    server = PretendServer(rate=1000 * kilobytes)
    blob = random.Random(2).randbytes(8_000_000 if kilobytes > 5 else 500_000)
    await upload(server, blob=blob)
    assert server.files == [blob]
    failed = len([each for each in server.requests if len(each.body or b"") / server.rate > 29])
    assert failed <= 2
    ideal = len(blob) / server.rate
    assert server.clock.seconds < 1.5 * ideal + 70
    if kilobytes >= 100_000:
        assert len(server.requests) < 12


async def test_a_file_that_did_not_pass_at_once_is_tried_in_pieces_the_next_time(server):
    server.rate = 3
    one = transfers(server)
    with pytest.raises(RequestFailed):
        await one.upload(BLOB[:100], deterministic=False)
    assert (await one.upload(BLOB[:100], deterministic=False)).url.id == content_id(BLOB[:100])
    assert server.requests[-1].method == "PATCH"
