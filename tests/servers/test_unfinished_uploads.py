"""Uploads in pieces: what is kept of them, what becomes of them, and what is left after accidents."""

import asyncio
import random

import pytest

from ramson.protocol import resumable_uploads
from ramson.protocol.file_server import content_id
from ramson.protocol.resumable_uploads import BadPiece, Piece
from ramson.servers.files.sqlite import SqliteCatalogue
from ramson.servers.files.store import TooLarge
from ramson.servers.files.storing import StorageFailed, StorageFull
from ramson.servers.files.unfinished import IDLE_MS, NoSuchUpload, UnfinishedUploads, WrongOffset
from ramson.servers.files.upload_table import UploadTable
from ramson.world.real import ThreadDisk

HOUR = 3_600_000
DATA = random.Random(1).randbytes(100)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(resumable_uploads, "MIN_PIECE", 10)
    monkeypatch.setattr(resumable_uploads, "MAX_PIECE", 50)


def beside(store, seed=1):
    """The unfinished uploads of a store."""
    table = UploadTable(store._catalogue)
    return UnfinishedUploads(table, store._blobs, store, store._clock, random.Random(seed), store._limits)


async def send(uploads, data=DATA, size=30, *, numeric=False):
    upload = await uploads.begin(len(data), None, data[:size])
    while upload.received < len(data):
        piece = Piece(upload.received, last=False)
        upload = await uploads.append(upload, piece, data[piece.offset : piece.offset + size])
    return await uploads.finish(upload, numeric=numeric)


async def content_of(store, entry):
    return (await store.read(await store.find(entry.id), None)).content


async def test_pieces_become_the_file_that_one_request_would_have_made(place):
    store = await place.make()
    entry = await send(beside(store))
    assert (entry.id, entry.size) == (content_id(DATA), 100)
    assert await content_of(store, entry) == DATA
    assert await place.blobs().names() == [entry.blob]
    again = await store.add(DATA, None, numeric=False)
    assert again.blob == entry.blob


async def test_a_file_that_is_there_is_renewed_and_kept_once(place):
    store = await place.make()
    first = await store.add(DATA, 60, numeric=False)
    entry = await send(beside(store))
    assert entry.blob == first.blob
    assert entry.expires_ms > first.expires_ms
    assert await place.blobs().names() == [first.blob]


async def test_the_lifetime_that_was_asked_for_is_that_of_the_file(place):
    store = await place.make()
    uploads = beside(store)
    upload = await uploads.begin(20, 60, DATA[:20])
    place.clock.ms += 5000
    entry = await uploads.finish(upload, numeric=False)
    assert entry.expires_ms == place.clock.ms + 60_000


async def test_an_upload_goes_on_after_a_restart(place):
    store = await place.make()
    upload = await beside(store).begin(100, None, DATA[:40])
    await place.close(store)
    store = await place.make()
    uploads = beside(store, 2)
    upload = await uploads.find(upload.id)
    assert (upload.received, upload.length, upload.file) == (40, 100, "")
    upload = await uploads.append(upload, Piece(40, last=False), DATA[40:80])
    upload = await uploads.append(upload, Piece(80, last=True), DATA[80:])
    entry = await uploads.finish(upload, numeric=False)
    assert await content_of(store, entry) == DATA


async def test_the_answer_to_the_last_piece_can_be_had_again(place):
    store = await place.make()
    uploads = beside(store)
    upload = await uploads.begin(30, None, DATA[:30])
    entry = await uploads.finish(upload, numeric=True)
    for known in (upload, await uploads.find(upload.id)):  # one that was found before, and one that is found now
        assert (await uploads.finish(known, numeric=True)).id == entry.id
    assert len(await place.blobs().names()) == 1


async def test_pieces_elsewhere_are_refused_and_leave_nothing(place):
    store = await place.make()
    uploads = beside(store)
    upload = await uploads.begin(100, None, DATA[:30])
    for offset in (0, 29, 31, 99, 100, 10**9):
        with pytest.raises(WrongOffset) as refused:
            await uploads.append(upload, Piece(offset, last=False), bytes(20))
        assert refused.value.upload.received == 30
    assert len(await place.blobs().names()) == 1


async def test_of_two_pieces_for_one_place_one_counts(place):
    stores = [await place.make(), await place.make()]
    several = [beside(store, number) for number, store in enumerate(stores)]
    upload = await several[0].begin(100, None, DATA[:30])
    pieces = [DATA[30:50], DATA[30:70]] * 2
    outcomes = await asyncio.gather(
        *(several[number % 2].append(upload, Piece(30, last=False), piece) for number, piece in enumerate(pieces)),
        return_exceptions=True,
    )
    entered = [outcome for outcome in outcomes if not isinstance(outcome, WrongOffset)]
    assert len(entered) == 1
    assert {outcome.upload.received for outcome in outcomes if outcome not in entered} == {entered[0].received}
    assert len(await place.blobs().names()) == 2


async def test_two_who_finish_at_once_have_one_file(place):
    stores = [await place.make(), await place.make()]
    several = [beside(store, number) for number, store in enumerate(stores)]
    upload = await several[0].begin(50, None, DATA[:50])
    entries = await asyncio.gather(*(uploads.finish(upload, numeric=False) for uploads in several * 2))
    assert {entry.id for entry in entries} == {content_id(DATA[:50])}
    assert await place.blobs().names() == [entries[0].blob]


@pytest.mark.parametrize(
    ("length", "first", "error"),
    [(101, 20, TooLarge), (10**15 - 1, 20, TooLarge), (100, 9, BadPiece), (100, 0, BadPiece), (100, 51, BadPiece)],
)
async def test_what_cannot_be_is_refused_before_anything_is_kept(place, length, first, error):
    store = await place.make(max_file=100)
    with pytest.raises(error):
        await beside(store).begin(length, None, bytes(first))
    assert await place.blobs().names() == []


async def test_more_than_was_told_is_refused(place):
    store = await place.make()
    uploads = beside(store)
    upload = await uploads.begin(40, None, DATA[:30])
    for piece, size in ((Piece(30, last=False), 11), (Piece(30, last=True), 20), (Piece(30, last=True), 9)):
        with pytest.raises(BadPiece):
            await uploads.append(upload, piece, bytes(size))
    assert (await uploads.find(upload.id)).received == 30


async def test_an_upload_to_which_nothing_is_added_expires(place):
    store = await place.make(unfinished_ttl_s=3600)
    uploads = beside(store)
    upload = await uploads.begin(100, None, DATA[:30])
    other = await uploads.begin(100, None, DATA[:30])
    place.clock.ms += HOUR - 1
    upload = await uploads.append(upload, Piece(30, last=False), DATA[30:60])
    place.clock.ms += 1
    with pytest.raises(NoSuchUpload):
        await uploads.find(other.id)
    assert await uploads.sweep() == 1
    assert len(await place.blobs().names()) == 2
    place.clock.ms += HOUR
    assert await uploads.sweep() == 1
    assert await place.blobs().names() == []
    with pytest.raises(NoSuchUpload):
        await uploads.append(upload, Piece(60, last=False), DATA[60:80])
    assert await place.blobs().names() == []


async def test_a_finished_upload_is_forgotten_and_its_file_stays(place):
    store = await place.make()
    uploads = beside(store)
    entry = await send(uploads)
    place.clock.ms += 4 * HOUR
    assert await uploads.sweep() == 1
    assert await content_of(store, entry) == DATA


async def test_pieces_are_no_strays(place):
    store = await place.make()
    uploads = beside(store)
    upload = await uploads.begin(60, None, DATA[:30])
    place.clock.ms += 2 * HOUR
    assert await store.clear_strays() == 0
    upload = await uploads.append(upload, Piece(30, last=True), DATA[30:60])
    assert await content_of(store, await uploads.finish(upload, numeric=False)) == DATA[:60]


async def test_what_is_taken_back_is_gone(place):
    store = await place.make()
    uploads = beside(store)
    upload = await uploads.begin(60, None, DATA[:30])
    await uploads.cancel(upload)
    with pytest.raises(NoSuchUpload):
        await uploads.find(upload.id)
    assert await place.blobs().names() == []


async def test_unfinished_uploads_have_a_bound_and_the_idle_make_way(place):
    store = await place.make(max_file=100, max_unfinished_bytes=3 * 64 * 1024)
    uploads = beside(store)
    begun = []
    for _ in range(3):
        begun.append(await uploads.begin(100, None, DATA[:30]))
        place.clock.ms += 1000
    with pytest.raises(StorageFull):
        await uploads.begin(100, None, DATA[:30])
    assert len(await place.blobs().names()) == 3
    place.clock.ms += IDLE_MS - 3000
    begun[0] = await uploads.append(begun[0], Piece(30, last=False), DATA[30:60])
    with pytest.raises(StorageFull):  # only the first had been idle for so long, and it was gone on with
        await uploads.begin(100, None, DATA[:30])
    place.clock.ms += 1000
    new = await uploads.begin(100, None, DATA[:30])
    with pytest.raises(NoSuchUpload):
        await uploads.find(begun[1].id)
    for upload in (begun[0], begun[2], new):
        await uploads.find(upload.id)
    assert len(await place.blobs().names()) == 4


async def test_a_finished_upload_takes_no_room(place):
    store = await place.make(max_file=100, max_unfinished_bytes=64 * 1024)
    uploads = beside(store)
    for number in range(3):
        await send(uploads, DATA[number:])


async def test_a_full_server_begins_no_upload(place):
    store = await place.make(max_file=100, max_bytes=150)
    await store.add(DATA, None, numeric=False)
    with pytest.raises(StorageFull):
        await beside(store).begin(60, None, DATA[:30])


async def test_a_server_that_filled_up_meanwhile_finishes_when_there_is_room(place):
    store = await place.make(max_file=100, max_bytes=150)
    uploads = beside(store)
    upload = await uploads.begin(50, None, DATA[:50])
    await store.add(DATA[:99] + b"x", 60, numeric=False)
    await store.add(b"y" * 50, 60, numeric=False)
    with pytest.raises(StorageFull):
        await uploads.finish(upload, numeric=False)
    place.clock.ms += 60_000
    await store.sweep()
    assert await content_of(store, await uploads.finish(upload, numeric=False)) == DATA[:50]


@pytest.mark.parametrize("damage", ["lost", "short"])
async def test_an_upload_whose_piece_is_damaged_has_to_begin_anew(place, damage):
    store = await place.make()
    uploads = beside(store)
    upload = await uploads.begin(30, None, DATA[:30])
    blobs = place.blobs()
    (name,) = await blobs.names()
    await blobs.drop([name])
    if damage == "short":
        await blobs.put(name, b"short")
    for _ in range(2):
        with pytest.raises(NoSuchUpload):
            await uploads.finish(upload, numeric=False)
    assert await blobs.names() == []
    assert await content_of(store, await send(uploads)) == DATA


async def test_a_transaction_that_counted_although_it_broke_off_is_not_undone(place):
    """A database may commit and break off before it says so; what is done again must find what it did."""
    store = await place.make()
    catalogue, broken = store._catalogue, {"on": False}
    transact = catalogue.transact

    async def twice(work):
        if broken["on"]:
            await transact(work)
        return await transact(work)

    catalogue.transact = twice
    uploads = beside(store)
    broken["on"] = True
    upload = await uploads.begin(60, None, DATA[:30])
    upload = await uploads.append(upload, Piece(30, last=True), DATA[30:60])
    entry = await uploads.finish(upload, numeric=False)
    assert await content_of(store, entry) == DATA[:60]


async def test_storage_that_fails_costs_no_piece_that_may_count(place):
    store = await place.make()
    uploads = beside(store)
    upload = await uploads.begin(60, None, DATA[:30])
    append = uploads._table.append

    async def counts_and_breaks_off(*arguments):
        await append(*arguments)
        raise StorageFailed("the connection broke off")

    uploads._table.append = counts_and_breaks_off
    with pytest.raises(StorageFailed):
        await uploads.append(upload, Piece(30, last=True), DATA[30:60])
    uploads._table.append = append
    upload = await uploads.find(upload.id)
    assert upload.received == 60
    assert await content_of(store, await uploads.finish(upload, numeric=False)) == DATA[:60]


async def test_pieces_that_cannot_be_read_now_are_read_later(place):
    store = await place.make()
    uploads = beside(store)
    upload = await uploads.begin(60, None, DATA[:30])
    upload = await uploads.append(upload, Piece(30, last=True), DATA[30:60])
    get = store._blobs.get

    async def fails(*_):
        raise StorageFailed("the disk is away")

    store._blobs.get = fails
    with pytest.raises(StorageFailed):
        await uploads.finish(upload, numeric=False)
    store._blobs.get = get
    assert await content_of(store, await uploads.finish(upload, numeric=False)) == DATA[:60]


async def test_a_catalogue_of_the_first_version_learns_of_uploads(tmp_path):
    path = tmp_path / "catalogue.sqlite"
    old = SqliteCatalogue(path, ThreadDisk())
    await old.open()

    def go_back(db):
        db.execute("DROP TABLE ramson_uploads; DROP TABLE ramson_pieces; PRAGMA user_version = 1")
        db.execute("INSERT INTO files VALUES ('1', 'b', 5, 1, 9)")

    await old._run(go_back)
    await old.close()
    for _ in range(2):
        catalogue = SqliteCatalogue(path, ThreadDisk())
        await catalogue.open()
        assert (await catalogue.find("1", 0)).size == 5
        assert await UploadTable(catalogue).find("x", 0) is None
        await catalogue.close()
