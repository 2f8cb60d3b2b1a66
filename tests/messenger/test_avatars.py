"""Profile pictures: both forms, and when one's own is renewed."""

import random
from dataclasses import replace

import pytest

from ramson.errors import ParseError
from ramson.messenger import file_transfers
from ramson.messenger.avatars import Avatars, PictureState
from ramson.messenger.file_transfers import Transfers
from ramson.network import Failure, RequestFailed
from ramson.protocol.config.fields import Picture
from ramson.protocol.file_server import FileInfo, FileServer, content_id, encode_info
from ramson.protocol.server_v4 import ServerResponse
from ramson.world import World

SERVER = FileServer("http://10.0.0.1:8080", bytes(range(32)))
SEED = bytes(range(32))
NOW = 1_760_000_000_000
HOUR, DAY = 3_600_000, 86_400_000


class SetClock:
    def now(self):
        return NOW


class PretendServer:
    def __init__(self):
        self.files, self.extended, self.fails = {}, [], None

    async def call_server(self, server, request, *, seconds=10.0):
        if request.endpoint == "/file":
            if isinstance(self.fails, Exception):
                raise self.fails
            file_id = content_id(request.body)
            self.files[file_id] = request.body
            return ServerResponse(200, {}, encode_info(FileInfo(file_id, len(request.body))))
        file_id = request.endpoint.split("/")[2]
        if request.endpoint.endswith("/extend"):
            self.extended.append(file_id)
            if isinstance(self.fails, Exception):
                raise self.fails
            return ServerResponse(200, {}, encode_info(FileInfo())) if not self.fails else ServerResponse(self.fails)
        return ServerResponse(200, {}, self.files[file_id])


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(file_transfers, "FIRST_PAUSE", 0.0)


@pytest.fixture
def server():
    return PretendServer()


@pytest.fixture
def avatars(server):
    return Avatars(Transfers(server, SERVER, SetClock()), World(SetClock(), random.Random(1), None, None, None))


async def test_ones_own_picture(avatars, server):
    picture = await avatars.upload(b"webp", seed=SEED)
    assert picture == await avatars.upload(b"webp", seed=SEED)
    assert picture.url.endswith("#d")
    assert len(server.files) == 1
    assert await avatars.fetch(picture) == b"webp"


async def test_a_groups_picture(avatars, server):
    first, second = [await avatars.upload_for_group(b"webp") for _ in range(2)]
    assert first.key != second.key
    assert "#" not in first.url
    assert await avatars.fetch(first) == b"webp"
    with pytest.raises(ParseError):
        await avatars.fetch(replace(first, key=second.key))


async def test_a_picture_whose_url_says_the_wrong_form_is_read(avatars):
    own, groups = await avatars.upload(b"webp", seed=SEED), await avatars.upload_for_group(b"webp")
    assert await avatars.fetch(replace(own, url=own.url.removesuffix("#d"))) == b"webp"
    assert await avatars.fetch(replace(groups, url=groups.url + "#d")) == b"webp"


@pytest.fixture
async def state(avatars):
    picture = await avatars.upload(b"webp", seed=SEED)
    return PictureState(
        picture, uploaded_ms=NOW - 2 * DAY, profile_ms=NOW - 2 * DAY, checked_ms=NOW - DAY, max_side=600
    )


async def test_a_picture_is_extended_once_a_day(avatars, server, state):
    renewal = await avatars.renew(state, seed=SEED)
    assert (renewal.picture, renewal.renewed_ms) == (state.picture, NOW)
    assert len(server.extended) == 1
    assert await avatars.renew(replace(state, checked_ms=NOW - DAY + 1), seed=SEED) is None
    assert await avatars.renew(replace(state, profile_ms=NOW - 2 * HOUR + 1), seed=SEED) is None
    assert len(server.extended) == 1


@pytest.mark.parametrize("fails", [404, 503, RequestFailed(Failure.PATH_TIMEOUT)])
async def test_a_picture_that_cannot_be_extended_waits_until_it_is_old(avatars, server, state, fails):
    server.fails = fails
    assert await avatars.renew(state, lambda: b"webp", seed=SEED) is None
    assert await avatars.renew(replace(state, uploaded_ms=NOW - 12 * DAY), lambda: b"webp", seed=SEED) is None


async def test_an_old_picture_that_cannot_be_extended_is_uploaded_again(avatars, server, state):
    server.fails = 404
    server.files.clear()
    old = replace(state, uploaded_ms=NOW - 12 * DAY - 1)
    renewal = await avatars.renew(old, lambda: b"smaller", seed=SEED)
    assert await avatars.fetch(renewal.picture) == b"smaller"
    assert await avatars.renew(old, seed=SEED) is None  # there is nothing to upload
    server.fails = RequestFailed(Failure.PATH_TIMEOUT)
    with pytest.raises(RequestFailed):
        await avatars.renew(old, lambda: b"smaller", seed=SEED)


async def test_too_large_a_picture_is_not_extended_but_replaced(avatars, server, state):
    large = replace(state, max_side=601)
    assert await avatars.renew(large, lambda: b"smaller", seed=SEED) is None
    assert (await avatars.renew(replace(large, uploaded_ms=0), lambda: b"smaller", seed=SEED)).picture != state.picture
    assert server.extended == []


async def test_a_picture_on_a_server_that_is_not_ours_is_uploaded_to_ours(avatars, state):
    elsewhere = replace(state, picture=Picture("http://old.example.org/file/1", bytes(32)), uploaded_ms=0)
    renewal = await avatars.renew(elsewhere, lambda: b"webp", seed=SEED)
    assert renewal.picture.url.startswith(SERVER.url)
