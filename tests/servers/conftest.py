"""Storage for file servers under test: SQLite and a directory, PostgreSQL if it is installed, and a small S3."""

import asyncio
import hashlib
import hmac
import os
import pwd
import random
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest

from ramson.servers.files.config import Limits
from ramson.servers.files.directory import DirectoryBlobs
from ramson.servers.files.postgres import PostgresCatalogue
from ramson.servers.files.s3 import Bucket, S3Blobs
from ramson.servers.files.sigv4 import Credentials
from ramson.servers.files.sqlite import SqliteCatalogue
from ramson.servers.files.store import FileStore
from ramson.world import Endpoint, HttpLimits, HttpRequest, HttpResponse, real
from ramson.world.real import ThreadDisk

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
DAY = 86_400_000


@dataclass
class SetClock:
    """A clock that stands still until it is set."""

    ms: int = 1_760_000_000_000

    def now(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000


@dataclass
class FakeS3:
    """One bucket over HTTP: checks signatures by its own computation, pages its listings, can be told to fail."""

    objects: dict[str, bytes] = field(default_factory=dict)
    failing: int = 0
    page: int = 3
    ranges: bool = True
    requests: list[str] = field(default_factory=list)

    def handle(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(f"{request.method} {request.target}")
        if self.failing:
            return HttpResponse(self.failing)
        if not self._authentic(request):
            return HttpResponse(403, {}, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        path, _, query = request.target.partition("?")
        bucket, _, key = unquote(path)[1:].partition("/")
        if bucket != "bucket":
            return HttpResponse(404, {}, b"<Error><Code>NoSuchBucket</Code></Error>")
        if not key:
            return self._list(dict(parse_qsl(query)))
        if request.method == "PUT":
            self.objects[key] = request.body
            return HttpResponse(200)
        if request.method == "DELETE":
            self.objects.pop(key, None)
            return HttpResponse(204)
        if key not in self.objects:
            return HttpResponse(404, {}, b"<Error><Code>NoSuchKey</Code></Error>")
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        if wanted and self.ranges:
            return HttpResponse(206, {}, self.objects[key][int(wanted[1]) : int(wanted[2]) + 1])
        return HttpResponse(200, {}, self.objects[key])

    def _list(self, query: dict[str, str]) -> HttpResponse:
        after = query.get("continuation-token", "")
        keys = [key for key in sorted(self.objects) if key.startswith(query.get("prefix", "")) and key > after]
        shown = keys[: self.page]
        xml = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in shown)
        more = f"<NextContinuationToken>{shown[-1]}</NextContinuationToken>" if len(keys) > len(shown) else ""
        return HttpResponse(200, {}, f"<ListBucketResult>{xml}{more}</ListBucketResult>".encode())

    @staticmethod
    def _authentic(request: HttpRequest) -> bool:
        given = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request,"
            r"SignedHeaders=([^,]+),Signature=(\w{64})",
            request.headers.get("authorization", ""),
        )
        if given is None or "host" not in given[4].split(";"):
            return False
        payload = request.headers["x-amz-content-sha256"]
        if payload != hashlib.sha256(request.body).hexdigest():
            return False
        path, _, query = request.target.partition("?")
        headers = "".join(f"{name}:{request.headers[name]}\n" for name in given[4].split(";"))
        canonical = f"{request.method}\n{path}\n{query}\n{headers}\n{given[4]}\n{payload}"
        scope = f"{given[2]}/{given[3]}/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{scope}\n{digest}"
        key = b"AWS4" + SECRET.encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.new(key, text.encode(), "sha256").hexdigest() == given[5]


@pytest.fixture
async def s3():
    """A running FakeS3 with its `bucket` set to reach it."""
    fake = FakeS3()
    world = real.world()
    listener = await world.net.listen(
        Endpoint("127.0.0.1", 0), fake.handle, certificate=None, limits=HttpLimits(max_body=2**24)
    )
    credentials = Credentials("AKIAIOSFODNN7EXAMPLE", SECRET)
    fake.bucket = Bucket(f"http://{listener.endpoint}", "bucket", credentials, "some/place/")
    yield fake
    await world.net.close()
    await listener.close()


def postgres_binaries() -> Path | None:
    """Find Debian's PostgreSQL, or another in the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    path = shutil.which("initdb")
    return None if path is None else Path(path).parent


@pytest.fixture(scope="session")
def postgres():
    """The connection string of a PostgreSQL started for these tests; skips where none is installed."""
    pytest.importorskip("psycopg")
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    home = Path(tempfile.mkdtemp(prefix="ramson-pg-", dir="/tmp"))
    user = None
    if os.geteuid() == 0:  # it refuses to run as root
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user for it")
        os.chown(home, user.pw_uid, user.pw_gid)
    who = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def run(program, *arguments):
        command = [binaries / program, "-D", home / "data", *arguments]
        subprocess.run(command, cwd=home, check=True, **quiet, **who)

    run("initdb", "-U", "test", "-A", "trust", "--no-sync", "-E", "UTF8")
    run("pg_ctl", "-w", "-o", f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off", "start")
    yield f"host={home} user=test dbname=postgres"
    run("pg_ctl", "-w", "-m", "immediate", "stop")
    shutil.rmtree(home, ignore_errors=True)


@dataclass
class Place:
    """Where a store keeps things; `make` opens it, again and again, as a restarted or second process would."""

    clock: SetClock
    catalogue: object
    blobs: object
    opened: list = field(default_factory=list)

    async def make(self, **limits) -> FileStore:
        store = FileStore(self.catalogue(), self.blobs(), self.clock, random.Random(len(self.opened)), Limits(**limits))
        self.opened.append(store)
        await store.open()
        return store

    async def close(self, store: FileStore) -> None:
        self.opened.remove(store)
        await store.close()


@pytest.fixture(params=["sqlite+directory", "postgres+s3"])
async def place(request, tmp_path):
    clock = SetClock()
    world = real.world()
    if request.param == "sqlite+directory":
        home = Place(
            clock,
            lambda: SqliteCatalogue(tmp_path / "catalogue.sqlite", ThreadDisk()),
            lambda: DirectoryBlobs(tmp_path / "files", ThreadDisk),
        )
    else:
        dsn = request.getfixturevalue("postgres")
        # Listening and asking in one loop, so the fixture is awaited here rather than requested above.
        fake = FakeS3()
        listener = await world.net.listen(
            Endpoint("127.0.0.1", 0), fake.handle, certificate=None, limits=HttpLimits(max_body=2**24)
        )
        bucket = Bucket(f"http://{listener.endpoint}", "bucket", Credentials("AKIAIOSFODNN7EXAMPLE", SECRET), "x/")
        home = Place(clock, lambda: PostgresCatalogue(dsn, ThreadDisk()), lambda: S3Blobs(bucket, world.net, clock))
        await empty(dsn)
    yield home
    for store in list(home.opened):
        await store.close()
    await world.net.close()
    if request.param == "postgres+s3":
        await listener.close()


async def empty(dsn: str) -> None:
    import psycopg

    def work() -> None:
        with psycopg.connect(dsn) as db:
            db.execute("DROP TABLE IF EXISTS ramson_files, ramson_uploads, ramson_pieces")

    await asyncio.to_thread(work)
