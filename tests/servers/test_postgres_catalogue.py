"""What is particular to PostgreSQL: connections that break, and servers that are not there."""

import asyncio

import pytest

from ramson.servers.files import postgres as module
from ramson.servers.files.postgres import PostgresCatalogue
from ramson.servers.files.storing import StorageFailed, StorageMisconfigured
from ramson.world.real import ThreadDisk


async def test_a_broken_connection_is_made_anew(postgres):
    catalogue = PostgresCatalogue(postgres, ThreadDisk())
    await catalogue.open()
    pid = catalogue._db.info.backend_pid

    def end():
        import psycopg

        with psycopg.connect(postgres) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

    await asyncio.to_thread(end)
    assert await catalogue.find("1", 0) is None
    assert catalogue._db.info.backend_pid != pid
    await catalogue.close()


async def test_several_processes_may_start_at_once(postgres):
    def drop():
        import psycopg

        with psycopg.connect(postgres) as db:
            db.execute("DROP TABLE IF EXISTS ramson_files")

    await asyncio.to_thread(drop)
    catalogues = [PostgresCatalogue(postgres, ThreadDisk()) for _ in range(5)]
    await asyncio.gather(*(catalogue.open() for catalogue in catalogues))
    for catalogue in catalogues:
        await catalogue.close()


async def test_a_database_that_is_not_there(tmp_path):
    pytest.importorskip("psycopg")
    catalogue = PostgresCatalogue(f"host={tmp_path} user=test password=hidden", ThreadDisk())
    with pytest.raises(StorageMisconfigured) as caught:
        await catalogue.open()
    assert "hidden" not in str(caught.value)
    with pytest.raises(StorageFailed):
        await catalogue.held_bytes()
    await catalogue.close()


def test_without_psycopg_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(module, "psycopg", None)
    with pytest.raises(StorageMisconfigured) as caught:
        PostgresCatalogue("", ThreadDisk())
    assert "ramson[servers]" in caught.value.remedy
