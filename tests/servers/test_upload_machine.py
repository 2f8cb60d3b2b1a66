"""Whatever pieces come in whatever order, and wherever the server is killed: the whole file results, or a clear error.

The model knows what each upload will be. A kill comes before or after any piece of work of either disk; what is done
after it is done by a new server on the same files.
"""

import asyncio
import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ramson.protocol import resumable_uploads
from ramson.protocol.file_server import content_id
from ramson.protocol.resumable_uploads import BadPiece, Piece
from ramson.servers.files.config import Limits
from ramson.servers.files.directory import DirectoryBlobs
from ramson.servers.files.sqlite import SqliteCatalogue
from ramson.servers.files.store import FileStore
from ramson.servers.files.unfinished import NoSuchUpload, UnfinishedUploads, WrongOffset
from ramson.servers.files.upload_table import UploadTable

HOUR = 3_600_000
MIN, MAX = 4, 32
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # only processes are killed, no power is lost
EXAMPLES = 400 if os.environ.get("RAMSON_SOAK") else 25


class Killed(BaseException):
    """The process is gone."""


class KillingDisk:
    """Does its work at once; `plan` is after how many pieces of work, and on which side of one, the kill comes."""

    def __init__(self, plan):
        self.plan = plan

    async def run(self, work):
        self.plan["left"] -= 1
        if self.plan["dead"] or (self.plan["left"] == 0 and not self.plan["after"]):
            self.die()
        result = work()
        if self.plan["left"] == 0:
            self.die()
        return result

    def die(self):
        self.plan["dead"] = True
        raise Killed

    async def close(self):
        pass


class Uploading(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(resumable_uploads, "MIN_PIECE", MIN)
        self.patch.setattr(resumable_uploads, "MAX_PIECE", MAX)
        self.patch.setattr("os.fsync", lambda _: None)
        self.home = Path(tempfile.mkdtemp(prefix="ramson-uploads-", dir=MEMORY))
        self.runner = asyncio.Runner()
        self.ms = 1_760_000_000_000
        self.entropy = random.Random(1)
        self.plan = {}
        self.known = {}  # id: (content, bytes acknowledged)
        self.files = set()  # contents that were acknowledged as files
        self.start()

    def now(self):
        return self.ms

    def start(self):
        self.plan = {"left": -1, "after": False, "dead": False}
        catalogue = SqliteCatalogue(self.home / "catalogue.sqlite", KillingDisk(self.plan))
        blobs = DirectoryBlobs(self.home / "files", lambda: KillingDisk(self.plan))
        limits = Limits(max_file=100)
        self.store = FileStore(catalogue, blobs, self, self.entropy, limits)
        self.uploads = UnfinishedUploads(UploadTable(catalogue), blobs, self.store, self, self.entropy, limits)
        self.runner.run(self.store.open())

    def do(self, work):
        """Do something with the server; None if it was killed meanwhile, and then it is started again."""
        result = None
        try:
            result = self.runner.run(work)
        except* Killed:
            self.store._catalogue._db.close()
            self.start()
        return result

    @initialize()
    def nothing_yet(self):
        assert self.runner.run(self.store._blobs.names()) == []

    @rule(left=st.integers(1, 8), after=st.booleans())
    def a_kill_is_near(self, left, after):
        self.plan.update(left=left, after=after)

    @rule(content=st.binary(min_size=1, max_size=100), size=st.integers(MIN, MAX))
    def begin(self, content, size):
        upload = self.do(self.uploads.begin(len(content), None, content[:size]))
        if upload is not None:
            assert upload.id not in self.known
            self.known[upload.id] = (content, min(size, len(content)))

    @precondition(lambda self: self.known)
    @rule(data=st.data(), size=st.integers(0, MAX + 1), shift=st.sampled_from([0, 0, 0, 0, 1, -1, 20, -20]))
    def append(self, data, size, shift):
        name = data.draw(st.sampled_from(sorted(self.known)))
        content, acknowledged = self.known[name]

        async def work():
            upload = await self.uploads.find(name)
            offset = max(0, upload.received + shift)
            piece = content[offset : offset + size]
            try:
                appended = await self.uploads.append(upload, Piece(offset, last=False), piece)
            except WrongOffset as error:
                assert offset != upload.received or upload.file
                return error.upload
            except BadPiece:
                end = offset + len(piece)
                assert len(piece) > MAX or (len(piece) < MIN and end < len(content))
                return upload
            assert offset == upload.received
            assert appended.received == offset + len(piece)
            return appended

        upload = self.do(work())
        if upload is not None:
            assert upload.received >= acknowledged
            self.known[name] = (content, upload.received)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def look(self, data):
        name = data.draw(st.sampled_from(sorted(self.known)))
        content, acknowledged = self.known[name]

        async def work():
            upload = await self.uploads.find(name)
            kept = [await self.store._blobs.get(blob, None) for blob in await self.uploads._table.pieces(name)]
            return upload, kept

        found = self.do(work())
        if found is not None:
            upload, kept = found
            assert acknowledged <= upload.received <= upload.length == len(content)
            if upload.file:
                assert (kept, upload.file) == ([], content_id(content))
            else:
                assert b"".join(kept) == content[: upload.received]

    @precondition(lambda self: self.known)
    @rule(data=st.data(), times=st.integers(1, 2))
    def finish(self, data, times):
        """Go on from wherever it is to the end, as a client does, with the last request perhaps repeated."""
        name = data.draw(st.sampled_from(sorted(self.known)))
        content, _ = self.known[name]

        async def work():
            upload = await self.uploads.find(name)
            while upload.received < len(content):
                piece = content[upload.received : upload.received + MAX]
                upload = await self.uploads.append(upload, Piece(upload.received, last=False), piece)
            entries = await asyncio.gather(*(self.uploads.finish(upload, numeric=False) for _ in range(times)))
            assert {entry.id for entry in entries} == {content_id(content)}
            return entries[0]

        if self.do(work()) is not None:
            self.known[name] = (content, len(content))
            self.files.add(content)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data):
        name = data.draw(st.sampled_from(sorted(self.known)))

        async def work():
            await self.uploads.cancel(await self.uploads.find(name))
            return True

        told = self.do(work())
        if self.gone(name):  # it may count although nobody was told
            del self.known[name]
        else:
            assert told is None

    def gone(self, name):
        self.plan["left"] = -1  # the test itself looks, and is not killed
        try:
            self.runner.run(self.uploads.find(name))
        except NoSuchUpload:
            return True
        return False

    @rule()
    def sweep(self):
        self.do(self.uploads.sweep())
        self.do(self.store.sweep())
        self.do(self.store.clear_strays())

    @rule()
    def everybody_leaves(self):
        self.ms += 4 * HOUR
        self.do(self.uploads.sweep())
        for name in self.known:
            assert self.gone(name)
        self.known.clear()

    def teardown(self):
        self.plan["left"] = -1

        async def work():
            for content in self.files:
                stored = await self.store.read(await self.store.find(content_id(content)), None)
                assert stored.content == content
            self.ms += 4 * HOUR
            await self.uploads.sweep()
            await self.store.clear_strays()
            held = await self.store._blobs.names()
            known = await self.store._catalogue.known(held)
            # Without any file the catalogue may as well have been lost, and strays stay.
            assert set(held) == known or not self.store._held
            assert await self.store._catalogue.transact(lambda run: run("SELECT * FROM ramson_pieces", ())) == []
            await self.store.close()

        try:
            self.runner.run(work())
        finally:
            self.runner.close()
            self.patch.undo()
            shutil.rmtree(self.home)


Uploading.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestUploading = Uploading.TestCase
