"""Blobs in a directory: whole or not at all, and only where they belong."""

import errno
import os
import stat

import pytest

from ramson.servers.files import directory
from ramson.servers.files.directory import DirectoryBlobs
from ramson.servers.files.sqlite import SqliteCatalogue
from ramson.servers.files.storing import Entry, StorageFailed, StorageFull, StorageMisconfigured, blob_name
from ramson.world.real import ThreadDisk

NAME = blob_name(1_760_000_000_000, bytes(16))


@pytest.fixture
async def blobs(tmp_path):
    blobs = DirectoryBlobs(tmp_path / "files", ThreadDisk)
    await blobs.open(expected=False)
    yield blobs
    await blobs.close()


async def test_files_are_private(blobs, tmp_path):
    await blobs.put(NAME, b"x")
    path = tmp_path / "files" / "00" / NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_what_was_half_written_is_cleared_at_the_start(blobs, tmp_path):
    part = tmp_path / "files" / "00" / f"{NAME}.part"
    part.write_bytes(b"half")
    assert await blobs.names() == []
    again = DirectoryBlobs(tmp_path / "files", ThreadDisk)
    await again.open(expected=False)
    assert not part.exists()
    await again.close()


async def test_an_empty_directory_where_files_are_expected_is_the_wrong_one(tmp_path):
    blobs = DirectoryBlobs(tmp_path / "unmounted", ThreadDisk)
    with pytest.raises(StorageMisconfigured):
        await blobs.open(expected=True)
    assert not (tmp_path / "unmounted").exists()
    await blobs.close()


async def test_a_directory_that_vanishes_is_no_missing_blob(blobs, tmp_path):
    await blobs.put(NAME, b"x")
    (tmp_path / "files").rename(tmp_path / "elsewhere")
    with pytest.raises(StorageFailed, match="not mounted"):
        await blobs.get(NAME, None)


async def test_a_full_disk_leaves_nothing_behind(blobs, tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(directory.os, "fsync", full)
    with pytest.raises(StorageFull):
        await blobs.put(NAME, b"x")
    assert list((tmp_path / "files" / "00").iterdir()) == []


async def test_a_blob_is_synced_then_renamed_then_its_directory_synced(blobs, tmp_path, monkeypatch):
    done = []
    real_fsync, real_rename = os.fsync, type(tmp_path).rename

    def fsync(descriptor):
        done.append("sync " + ("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"))
        real_fsync(descriptor)

    def rename(path, target):
        done.append("rename")
        return real_rename(path, target)

    monkeypatch.setattr(directory.os, "fsync", fsync)
    monkeypatch.setattr(type(tmp_path), "rename", rename)
    await blobs.put(NAME, b"x")
    assert done == ["sync file", "rename", "sync directory"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 44, "a" * 43, ""])
async def test_only_names_of_blobs_are_opened(blobs, name):
    for attempt in (blobs.get(name, None), blobs.put(name, b""), blobs.drop([name])):
        with pytest.raises(StorageFailed, match="name"):
            await attempt


async def test_a_catalogue_that_is_none_or_newer_is_refused(tmp_path):
    (tmp_path / "noise").write_bytes(b"no database" * 100)
    catalogue = SqliteCatalogue(tmp_path / "noise", ThreadDisk())
    with pytest.raises(StorageMisconfigured):
        await catalogue.open()
    await catalogue.close()

    catalogue = SqliteCatalogue(tmp_path / "newer", ThreadDisk())
    await catalogue.open()
    await catalogue._disk.run(lambda: catalogue._db.pragma("user_version", 99))
    await catalogue.close()
    catalogue = SqliteCatalogue(tmp_path / "newer", ThreadDisk())
    with pytest.raises(StorageMisconfigured, match="newer"):
        await catalogue.open()
    await catalogue.close()


async def test_a_catalogue_that_is_closed_or_broken_says_so(tmp_path):
    catalogue = SqliteCatalogue(tmp_path / "catalogue", ThreadDisk())
    with pytest.raises(StorageFailed, match="not open"):
        await catalogue.held_bytes()
    await catalogue.open()
    await catalogue._disk.run(lambda: catalogue._db.execute("DROP TABLE files"))
    with pytest.raises(StorageFailed):
        await catalogue.add(Entry("1", NAME, 1, 0, 1), 0)
    await catalogue.close()
