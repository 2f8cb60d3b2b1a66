"""What is kept, how long, how often, and what is left after accidents; for every kind of storage."""

import asyncio
import random

import pytest

from ramson.protocol.file_server import Range, content_id
from ramson.servers.files.store import TooLarge
from ramson.servers.files.storing import Entry, StorageFailed, StorageFull, blob_name

DAY = 86_400_000


async def content_of(store, file_id, part=None):
    entry = await store.find(file_id)
    if entry is None:
        return None
    stored = await store.read(entry, part)
    return None if stored is None else stored.content


async def test_what_goes_in_comes_out(place):
    store = await place.make()
    for size in (1, 1000, 300_000):
        data = random.Random(size).randbytes(size)
        entry = await store.add(data, None, numeric=False)
        assert (entry.id, entry.size, entry.uploaded_ms) == (content_id(data), size, place.clock.ms)
        assert entry.expires_ms == place.clock.ms + 21 * DAY
        assert await content_of(store, entry.id) == data
    assert await content_of(store, entry.id, Range(5, 99)) == data[5:100]
    assert await content_of(store, entry.id, Range(size - 1, size - 1)) == data[-1:]
    assert await store.find(content_id(b"other")) is None


async def test_equal_files_are_kept_once_and_renewed(place):
    store = await place.make()
    first = await store.add(b"data", 3600, numeric=False)
    place.clock.ms += 1000
    second = await store.add(b"data", 7200, numeric=False)
    assert (second.id, second.blob, second.uploaded_ms) == (first.id, first.blob, first.uploaded_ms)
    assert second.expires_ms == place.clock.ms + 7_200_000
    shorter = await store.add(b"data", 1, numeric=False)
    assert shorter.expires_ms == second.expires_ms
    assert len(await place.blobs().names()) == 1


async def test_two_uploads_at_once_leave_one_blob(place):
    stores = [await place.make(), await place.make()]
    entries = await asyncio.gather(*(store.add(b"same", None, numeric=False) for store in stores * 4))
    assert len({entry.blob for entry in entries}) == 1
    assert await place.blobs().names() == [entries[0].blob]


async def test_numeric_ids_are_drawn_and_never_shared(place):
    store = await place.make()
    one, other = [await store.add(b"same", None, numeric=True) for _ in range(2)]
    assert one.id != other.id
    assert one.id.isdecimal()
    assert int(one.id) < 2**53
    assert len(await place.blobs().names()) == 2


async def test_a_number_that_is_taken_is_drawn_again(place):
    store = await place.make()
    first = await store.add(b"first", None, numeric=True)
    numbers = iter([int(first.id), 12345])
    store._number = lambda: str(next(numbers))
    assert (await store.add(b"second", None, numeric=True)).id == "12345"
    assert await content_of(store, first.id) == b"first"
    assert await content_of(store, "12345") == b"second"


async def test_lifetimes_are_bounded_and_extended(place):
    store = await place.make()
    entry = await store.add(b"data", 10**9, numeric=False)
    assert entry.expires_ms == place.clock.ms + 30 * DAY
    place.clock.ms += DAY
    assert (await store.extend(entry.id, 60)).expires_ms == entry.expires_ms
    assert (await store.extend(entry.id, 30 * 86_400)).expires_ms == place.clock.ms + 30 * DAY
    assert await store.extend(content_id(b"other"), None) is None


async def test_expired_files_are_gone_at_once_and_swept_later(place):
    store = await place.make()
    entry = await store.add(b"data", 60, numeric=False)
    later = await store.add(b"stays", None, numeric=False)
    place.clock.ms += 60_000
    assert await store.find(entry.id) is None
    assert await store.extend(entry.id, None) is None
    assert len(await place.blobs().names()) == 2
    assert await store.sweep() == 1
    assert await place.blobs().names() == [later.blob]
    assert await store.sweep() == 0


async def test_a_file_uploaded_again_after_it_expired_is_a_new_one(place):
    store = await place.make()
    old = await store.add(b"data", 60, numeric=False)
    place.clock.ms += 60_000
    new = await store.add(b"data", 60, numeric=False)
    assert new.blob != old.blob
    assert new.uploaded_ms == place.clock.ms
    assert await place.blobs().names() == [new.blob]
    assert await store.sweep() == 0
    assert await content_of(store, new.id) == b"data"


async def test_many_expired_files_are_swept_together(place):
    store = await place.make()
    for number in range(7):
        await store.add(b"%d" % number, 60, numeric=False)
    place.clock.ms += 60_000
    assert await store.sweep() == 7
    assert await place.blobs().names() == []


async def test_sizes_and_room_are_bounded(place):
    store = await place.make(max_file=10, max_bytes=25)
    with pytest.raises(TooLarge):
        await store.add(bytes(11), None, numeric=False)
    await store.add(b"1" * 10, None, numeric=False)
    await store.add(b"2" * 10, 60, numeric=False)
    with pytest.raises(StorageFull):
        await store.add(b"3" * 10, None, numeric=False)
    await store.add(b"1" * 10, None, numeric=False)  # is there
    await store.add(b"4" * 5, None, numeric=False)
    place.clock.ms += 60_000
    await store.sweep()
    await store.add(b"3" * 10, None, numeric=False)


async def test_room_counts_what_is_just_coming(place):
    store = await place.make(max_file=10, max_bytes=25)
    uploads = [store.add(b"%d" % number * 10, None, numeric=False) for number in range(4)]
    outcomes = await asyncio.gather(*uploads, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Entry, Entry, StorageFull, StorageFull]


async def test_everything_is_there_after_a_restart(place):
    store = await place.make(max_bytes=10)
    entry = await store.add(b"12345678", None, numeric=False)
    await place.close(store)
    again = await place.make(max_bytes=10)
    assert await again.find(entry.id) == entry
    assert await content_of(again, entry.id) == b"12345678"
    with pytest.raises(StorageFull):
        await again.add(b"abc", None, numeric=False)


async def test_blobs_without_an_entry_are_cleared_when_they_are_old(place):
    store = await place.make()
    entry = await store.add(b"data", None, numeric=False)
    blobs = place.blobs()
    old, young = blob_name(place.clock.ms - 3_600_001, bytes(16)), blob_name(place.clock.ms, bytes(16))
    for name in (old, young):
        await blobs.put(name, b"stray")
    assert await store.clear_strays() == 1
    assert sorted(await blobs.names()) == sorted([entry.blob, young])
    place.clock.ms += 2 * 3_600_000
    assert await store.clear_strays() == 1
    assert await blobs.names() == [entry.blob]


async def test_a_lost_catalogue_does_not_cost_the_blobs(place):
    store = await place.make()
    stray = blob_name(place.clock.ms - DAY, bytes(16))
    await place.blobs().put(stray, b"stray")
    assert await store.clear_strays() == 0
    assert await place.blobs().names() == [stray]


@pytest.mark.parametrize("damage", ["lost", "short"])
async def test_a_file_whose_content_is_damaged_can_be_uploaded_again(place, damage):
    store = await place.make()
    entry = await store.add(b"data", None, numeric=False)
    blobs = place.blobs()
    await blobs.drop([entry.blob])
    if damage == "short":
        await blobs.put(entry.blob, b"dat")
    assert await content_of(store, entry.id) is None
    assert await store.find(entry.id) is None
    await store.add(b"data", None, numeric=False)
    assert await content_of(store, entry.id) == b"data"


async def test_an_upload_that_fails_is_not_there_and_takes_no_room(place):
    store = await place.make(max_bytes=10)

    async def fail(*_):
        raise StorageFailed("no")

    whole, store._catalogue.add = store._catalogue.add, fail
    for _ in range(3):
        with pytest.raises(StorageFailed):
            await store.add(b"12345678", None, numeric=False)
    store._catalogue.add = whole
    assert await store.find(content_id(b"12345678")) is None
    await store.add(b"12345678", None, numeric=False)


async def test_no_entry_is_made_before_its_blob_is_stored(place):
    store = await place.make()

    async def fail(*_):
        raise StorageFailed("no")

    store._blobs.put = fail
    with pytest.raises(StorageFailed):
        await store.add(b"data", None, numeric=False)
    assert await store._catalogue.held_bytes() == 0
