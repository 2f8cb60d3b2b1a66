"""Talking to an S3-compatible store: signatures as AWS documents them, and what is made of a store's answers."""

import pytest

from ramson.protocol.file_server import Range
from ramson.servers.files import sigv4
from ramson.servers.files.s3 import Bucket, S3Blobs
from ramson.servers.files.sigv4 import Credentials
from ramson.servers.files.storing import StorageFailed, StorageFull, StorageMisconfigured, blob_name
from ramson.world import real
from ramson.world.real import SystemClock

KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
MAY_2013 = 1_369_353_600_000
HOST = {"host": "examplebucket.s3.amazonaws.com"}
NAME = blob_name(1_760_000_000_000, bytes(16))


# The examples of AWS, "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk".
@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "signature"),
    [
        (
            "GET",
            "/test.txt",
            {},
            {"Range": "bytes=0-9"},
            b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test$file.text",
            {},
            {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        ("GET", "/", {"lifecycle": ""}, {}, b"", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            "GET",
            "/",
            {"max-keys": "2", "prefix": "J"},
            {},
            b"",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["get", "put", "lifecycle", "list"],
)
def test_signatures_are_those_of_the_documentation(method, path, query, headers, body, signature):
    signed = sigv4.sign(KEYS, method, path, query, headers | HOST, body, now_ms=MAY_2013)
    assert signed["authorization"].endswith(f"Signature={signature}")
    assert "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request" in signed["authorization"]


def test_secrets_are_not_shown():
    assert "wJalr" not in repr(Bucket("http://h", "bucket", KEYS))


@pytest.fixture
async def blobs(s3):
    world = real.world()
    yield S3Blobs(s3.bucket, world.net, SystemClock())
    await world.net.close()


async def test_blobs_come_and_go(s3, blobs):
    await blobs.open(expected=False)
    await blobs.put(NAME, b"0123456789")
    assert list(s3.objects) == [f"some/place/{NAME}"]
    assert await blobs.get(NAME, None) == b"0123456789"
    assert await blobs.get(NAME, Range(2, 4)) == b"234"
    s3.ranges = False
    assert await blobs.get(NAME, Range(2, 4)) == b"234"
    await blobs.drop([NAME, NAME])
    assert await blobs.get(NAME, None) is None
    await blobs.close()


async def test_listings_have_pages_and_other_objects(s3, blobs):
    names = sorted(blob_name(number, bytes(16)) for number in range(10))
    for name in names:
        s3.objects[f"some/place/{name}"] = b"x"
    s3.objects |= {"some/place/readme": b"", f"else/{NAME}": b"", "some/other": b""}
    assert await blobs.names() == names
    await blobs.open(expected=True)


async def test_a_wrong_secret_is_told_at_the_start(s3):
    world = real.world()
    bucket = Bucket(s3.bucket.endpoint, "bucket", Credentials("AKIAIOSFODNN7EXAMPLE", "wrong"))
    with pytest.raises(StorageMisconfigured, match="403"):
        await S3Blobs(bucket, world.net, SystemClock()).open(expected=False)
    await world.net.close()


async def test_an_empty_bucket_where_files_are_expected_is_the_wrong_one(blobs):
    with pytest.raises(StorageMisconfigured, match="holds none"):
        await blobs.open(expected=True)


@pytest.mark.parametrize("status", [400, 403, 500, 503])
async def test_what_a_store_fails_at_is_never_taken_for_a_missing_blob(s3, blobs, status):
    await blobs.put(NAME, b"x")
    s3.failing = status
    for attempt in (blobs.get(NAME, None), blobs.put(NAME, b"y"), blobs.drop([NAME]), blobs.names()):
        with pytest.raises(StorageFailed, match=str(status)):
            await attempt


async def test_a_missing_bucket_is_no_missing_blob(s3):
    world = real.world()
    blobs = S3Blobs(Bucket(s3.bucket.endpoint, "other", KEYS), world.net, SystemClock())
    with pytest.raises(StorageFailed, match="no such bucket"):
        await blobs.get(NAME, None)
    await world.net.close()


async def test_a_full_or_silent_store(s3, blobs):
    s3.failing = 507
    with pytest.raises(StorageFull):
        await blobs.put(NAME, b"x")
    world = real.world()
    with pytest.raises(StorageFailed, match="did not answer"):
        await S3Blobs(Bucket("http://127.0.0.1:1", "bucket", KEYS), world.net, SystemClock()).names()
    await world.net.close()


@pytest.mark.parametrize("name", ["../" + "a" * 41, "A" * 44, "a" * 43, ""])
async def test_only_names_of_blobs_are_asked_for(s3, blobs, name):
    for attempt in (blobs.get(name, None), blobs.put(name, b"")):
        with pytest.raises(StorageFailed, match="name"):
            await attempt
    assert s3.requests == []


@pytest.mark.parametrize(
    ("endpoint", "bucket", "prefix"),
    [
        ("ftp://h", "bucket", ""),
        ("http://", "bucket", ""),
        ("http://h/x", "bucket", ""),
        ("http://h:0", "bucket", ""),
        ("http://h", "B", ""),
        ("http://h", "a/b", ""),
        ("http://h", "bucket", "x"),
        ("http://h", "bucket", "../"),
    ],
)
def test_buckets_that_cannot_be(endpoint, bucket, prefix):
    with pytest.raises(StorageMisconfigured):
        Bucket(endpoint, bucket, KEYS, prefix)
