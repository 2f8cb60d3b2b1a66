"""A server's SQLite file: whole transactions, and nobody else's to read."""

import os

import apsw
import pytest

from ramson.servers.sqlite_file import IN_MEMORY, SqliteFile
from ramson.world import real


class Numbers(SqliteFile):
    def _prepare(self, db):
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        db.execute("CREATE TABLE IF NOT EXISTS numbers (number INTEGER)")

    async def add(self, number, failure=None):
        def work(db):
            db.execute("INSERT INTO numbers VALUES (?)", (number,))
            if failure:
                raise failure

        await self._run(work)

    async def all(self):
        return await self._run(lambda db: [number for (number,) in db.execute("SELECT number FROM numbers")])


async def test_nobody_else_can_read_the_file_or_its_log(tmp_path):
    before = os.umask(0)
    try:
        numbers = Numbers(tmp_path / "numbers.sqlite", real.world().disk())
        await numbers.open()
        await numbers.add(1)
        assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o600}
        assert len(list(tmp_path.iterdir())) == 3
        await numbers.close()
    finally:
        os.umask(before)


@pytest.mark.parametrize("place", ["numbers.sqlite", IN_MEMORY])
async def test_work_that_fails_leaves_nothing(tmp_path, place):
    numbers = Numbers(place if place == IN_MEMORY else tmp_path / place, real.world().disk())
    await numbers.open()
    await numbers.add(1)
    with pytest.raises(ZeroDivisionError):
        await numbers.add(2, ZeroDivisionError())
    await numbers.add(3)
    assert await numbers.all() == [1, 3]
    await numbers.close()


async def test_a_file_that_is_not_open_says_so(tmp_path):
    numbers = Numbers(tmp_path / "numbers.sqlite", real.world().disk())
    with pytest.raises(apsw.ConnectionClosedError):
        await numbers.add(1)
    await numbers.close()
