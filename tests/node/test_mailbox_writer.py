"""How the mailbox's writer gathers operations into transactions, and what SQLite does for them."""

import asyncio

import apsw
import pytest

from ramson.node.mailbox import Mailbox, NewMessage, writer
from ramson.node.mailbox.schema import open_reader, open_writer

ALICE = b"\x05" + b"a" * 32
LONG = 2**50
FOR_EVER = 3600.0  # seconds; whoever waits for company as long fails the test


def message(text):
    return NewMessage(ALICE, 0, text.ljust(43, "."), 1000, LONG, text.encode())


@pytest.fixture
def sizes():
    """Operations in each transaction."""
    return []


@pytest.fixture
async def box(tmp_path, disk, clock, sizes):
    box = Mailbox(tmp_path / "m.db", disk, clock, on_commit=lambda operations, _seconds: sizes.append(operations))
    yield box
    await box.close()


async def stored(box, *texts):
    async with asyncio.timeout(20):
        await asyncio.gather(*(box.store(message(text)) for text in texts))


async def test_one_that_comes_alone_never_waits(box, sizes, monkeypatch):
    monkeypatch.setattr(writer, "GATHER_SECONDS", FOR_EVER)
    for text in "abc":
        await stored(box, text)
    assert sizes == [1, 1, 1]


async def test_after_several_came_at_once_a_few_wait_for_company(box, sizes, monkeypatch):
    await stored(box, "a", "b", "c")
    monkeypatch.setattr(writer, "GATHER_SECONDS", 1.0)
    first = asyncio.ensure_future(stored(box, "d"))
    await asyncio.sleep(0.02)  # by itself it would be on the disk long before
    assert not first.done()
    await asyncio.gather(first, stored(box, "e"))
    assert sizes == [3, 2]


async def test_enough_of_them_do_not_wait(box, sizes, monkeypatch):
    await stored(box, "a", "b")
    monkeypatch.setattr(writer, "GATHER_SECONDS", FOR_EVER)
    await stored(box, *"cdefgh")
    assert sizes == [2, writer.COMPANY]


async def test_a_moment_later_nobody_waits(box, sizes, clock, monkeypatch):
    await stored(box, "a", "b")
    monkeypatch.setattr(writer, "GATHER_SECONDS", FOR_EVER)
    clock.time += 1 + int(writer.CROWDED_SECONDS * 1000)
    await stored(box, "c")
    assert sizes == [2, 1]


async def test_a_transaction_has_only_so_many(box, sizes):
    many = [f"{n}" for n in range(writer.MAX_GROUP + 10)]
    await stored(box, *many)
    assert sizes == [writer.MAX_GROUP, 10]


async def test_closing_does_not_lose_who_waits_for_company(tmp_path, disk, clock, sizes, monkeypatch):
    box = Mailbox(tmp_path / "other.db", disk, clock, on_commit=lambda operations, _seconds: sizes.append(operations))
    await stored(box, "a", "b")
    monkeypatch.setattr(writer, "GATHER_SECONDS", 0.2)
    waiting = asyncio.ensure_future(stored(box, "c"))
    await asyncio.sleep(0.02)
    await box.close()
    await waiting
    assert sizes == [2, 1]


def test_statements_are_planned_once_and_not_for_each_value(tmp_path):
    for opened in (open_writer, open_reader):
        db = opened(tmp_path / "mail.db")
        assert db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, -1) == 1
        db.close()
