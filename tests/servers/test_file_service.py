"""A file server as it is asked: by onion requests and directly, by the honest and by others."""

import asyncio
import base64
import json
import logging
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from ramson.crypto.keys import X25519KeyPair
from ramson.crypto.onion import EncType, client_cipher
from ramson.protocol import onion
from ramson.protocol.file_server import content_id
from ramson.protocol.server_v4 import ServerRequest, decode_response, encode_request
from ramson.servers.files import FileServerConfig, FileService
from ramson.servers.files.config import Ids, Limits
from ramson.servers.keys import ServerKeys
from ramson.world import CannotListen, Endpoint, HttpRequest, real

KEYS = ServerKeys.from_seed(bytes(range(32)))
PEER = "10.0.0.9"


@pytest.fixture
async def start(tmp_path):
    """Start a file server; several of one test share the directory."""
    world = real.world()
    running = []

    async def make(**settings):
        config = FileServerConfig(Endpoint("127.0.0.1", 0), tmp_path / "server", **settings)
        service = FileService(world, KEYS, config)
        await service.__aenter__()
        running.append(service)
        return service

    yield make
    await world.net.close()
    for service in running:
        await service.__aexit__(None, None, None)


def sealed(payload, enc_type=EncType.XCHACHA20, key=KEYS.x25519.public, **options):
    """What the last node of a path sends to a server, and the cipher its answer comes in."""
    ephemeral = X25519KeyPair.generate(random.Random(1))
    cipher = client_cipher(enc_type, ephemeral, key)
    ciphertext = cipher.encrypt(payload, random.Random(2).randbytes(cipher.nonce_size))
    routing = {"host": "files", "target": "/oxen/v4/lsrpc", "method": "POST", "ephemeral_key": ephemeral.public.hex()}
    if enc_type is not EncType.AES_GCM:
        routing["enc_type"] = str(enc_type)
    return onion.encode_frame(ciphertext, routing | options), cipher


async def ask(service, method, endpoint, body=None, headers=None, *, peer=PEER, enc_type=EncType.XCHACHA20):
    frame, cipher = sealed(encode_request(ServerRequest(method, endpoint, headers or {}, body)), enc_type)
    reply = await service.handle(HttpRequest("POST", "/oxen/v4/lsrpc", {}, frame, peer))
    assert reply.status == 200
    return decode_response(cipher.decrypt(reply.body))


async def direct(service, method, target, body=b"", headers=None, *, peer=PEER):
    answer = service.handle(HttpRequest(method, target, headers or {}, body, peer))
    return await answer if asyncio.iscoroutine(answer) else answer


def told(reply):
    return json.loads(reply.body)


@pytest.mark.parametrize("enc_type", [EncType.XCHACHA20, EncType.AES_GCM])
async def test_upload_download_info_and_extension(start, enc_type):
    service = await start()
    reply = await ask(service, "POST", "/file", b"content", {"X-FS-TTL": "3600"}, enc_type=enc_type)
    assert reply.code == 200
    assert reply.headers["content-type"] == "application/json"
    document = told(reply)
    assert document["id"] == content_id(b"content")
    assert document["size"] == 7
    assert document["expires"] - document["uploaded"] == pytest.approx(3600)
    assert isinstance(document["expires"], float)

    got = await ask(service, "GET", f"/file/{document['id']}", enc_type=enc_type)
    assert (got.code, got.body, got.headers["content-type"]) == (200, b"content", "application/octet-stream")
    info = told(await ask(service, "GET", f"/file/{document['id']}/info"))
    assert info == {"size": 7, "uploaded": document["uploaded"], "expires": document["expires"]}
    extended = told(await ask(service, "POST", f"/file/{document['id']}/extend", headers={"X-FS-TTL": "7200"}))
    assert extended["expires"] - document["expires"] == pytest.approx(3600, abs=60)
    assert set(extended) == {"size", "uploaded", "expires"}


async def test_the_old_endpoints(start):
    service = await start()
    body = json.dumps({"file": base64.b64encode(b"content").decode()}).encode()
    number = told(await ask(service, "POST", "/files", body))["result"]
    assert isinstance(number, int)
    assert base64.b64decode(told(await ask(service, "GET", f"/files/{number}"))["result"]) == b"content"
    assert (await ask(service, "GET", f"/file/{number}")).body == b"content"


async def test_numeric_ids(start):
    service = await start(ids=Ids.NUMERIC)
    first, second = [told(await ask(service, "POST", "/file", b"content"))["id"] for _ in range(2)]
    assert first.isdecimal()
    assert first != second
    assert (await ask(service, "POST", f"/file/{first}/extend")).code == 404  # only for ids of content


@pytest.mark.parametrize(
    ("wanted", "code", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-12", 416, None, "bytes */10"),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("nonsense", 200, b"0123456789", None),
    ],
)
async def test_parts_of_files(start, wanted, code, body, content_range):
    service = await start()
    file_id = told(await ask(service, "POST", "/file", b"0123456789"))["id"]
    reply = await ask(service, "GET", f"/file/{file_id}", headers={"Range": wanted})
    assert reply.code == code
    assert reply.headers.get("content-range") == content_range
    assert body is None or reply.body == body


@pytest.mark.parametrize(
    ("method", "endpoint", "body", "headers", "code"),
    [
        ("GET", "/", None, {}, 404),
        ("GET", "", None, {}, 404),
        ("GET", "file/1", None, {}, 404),
        ("GET", "/token_info", None, {}, 404),
        ("GET", "/file", None, {}, 405),
        ("DELETE", "/file/1", None, {}, 405),
        ("GET", "/file/1/extend", None, {}, 405),
        ("GET", "/file/1/2/3", None, {}, 404),
        ("GET", "/file/1", None, {}, 404),
        ("GET", f"/file/{'A' * 44}", None, {}, 404),
        ("GET", f"/file/{'A' * 44}/info", None, {}, 404),
        ("POST", f"/file/{'A' * 44}/extend", None, {}, 404),
        ("GET", "/file/../../etc/passwd", None, {}, 404),
        ("GET", "/file/%2e%2e", None, {}, 404),
        ("GET", "/file/\x00", None, {}, 404),
        ("GET", "/file/" + "A" * 5000, None, {}, 414),
        ("POST", "/file", None, {}, 400),
        ("POST", "/file", b"", {}, 400),
        ("POST", "/file", b"x", {"X-FS-TTL": "0"}, 400),
        ("POST", "/file", b"x", {"X-FS-TTL": "-5"}, 400),
        ("POST", "/file", b"x", {"X-FS-TTL": "9" * 400}, 400),
        ("POST", "/file", b"x" * 1001, {}, 413),
        ("POST", "/files", b"{}", {}, 400),
        ("POST", "/files", b'{"file": 5}', {}, 400),
        ("POST", "/files", b'{"file": "\xff"}', {}, 400),
        ("POST", "/files", b'{"file": "!!"}', {}, 400),
        ("POST", "/files", b'{"file": ""}', {}, 400),
        ("POST", "/files", b"[" * 1000, {}, 400),
        ("POST", "/file", b"x", {"Upload-Complete": "?0"}, 400),
        ("POST", "/file", b"x", {"Upload-Complete": "perhaps", "Upload-Length": "1"}, 400),
        ("POST", "/file", b"x", {"Upload-Complete": "?0", "Upload-Length": "1001"}, 413),
        ("POST", "/file", b"", {"Upload-Complete": "?0", "Upload-Length": "900"}, 400),
        ("POST", "/file", b"x" * 500, {"Upload-Complete": "?0", "Upload-Length": "900"}, 400),
        ("POST", "/file", b"x", {"Upload-Complete": "?0", "Upload-Length": "1", "X-FS-TTL": "0"}, 400),
        ("HEAD", "/uploads/1", None, {}, 404),
        ("HEAD", f"/uploads/{'A' * 43}", None, {}, 404),
        ("PATCH", f"/uploads/{'A' * 43}", b"x", {"Upload-Offset": "0", "Upload-Complete": "?0"}, 404),
        ("DELETE", f"/uploads/{'A' * 43}", None, {}, 404),
        ("GET", "/uploads", None, {}, 404),
        ("GET", "/session_version", None, {}, 400),
        ("GET", "/session_version?platform=toaster", None, {}, 404),
        ("GET", "/session_version?" + "a=b&" * 500, None, {}, 400),
        ("GET", "/file/1", None, {"X-FS-Pubkey": "07"}, 400),
    ],
)
async def test_what_is_refused_and_how(start, method, endpoint, body, headers, code):
    service = await start(limits=Limits(max_file=1000))
    assert (await ask(service, method, endpoint, body, headers)).code == code


async def test_versions_and_signed_requests(start):
    service = await start(versions={"desktop": "1.17.17"})
    endpoint = "/session_version?platform=desktop"
    assert told(await ask(service, "GET", endpoint))["result"] == "1.17.17"
    key, now = SigningKey(bytes(32)), str(real.SystemClock().now() // 1000)
    signature = key.sign(f"{now}GET{endpoint}".encode()).signature
    headers = {
        "X-FS-Pubkey": "07" + bytes(key.verify_key).hex(),
        "X-FS-Timestamp": now,
        "X-FS-Signature": base64.b64encode(signature).decode(),
    }
    assert (await ask(service, "GET", endpoint, headers=headers)).code == 200
    assert (await ask(service, "GET", "/file/1", headers=headers)).code == 401
    assert (await ask(service, "GET", endpoint, headers=headers | {"X-FS-Timestamp": "5"})).code == 425


# ---- uploads in pieces

BIG = random.Random(5).randbytes(50_000)


def half(**more):
    return {"Upload-Complete": "?0", "Upload-Length": str(len(BIG))} | more


def piece(offset, *, last=False):
    return {"Upload-Offset": str(offset), "Upload-Complete": "?1" if last else "?0"}


async def test_an_upload_in_pieces(start):
    service = await start()
    begun = await ask(service, "POST", "/file", BIG[:20_000], half(**{"X-FS-TTL": "3600"}))
    assert (begun.code, begun.headers["upload-offset"], begun.headers["upload-complete"]) == (201, "20000", "?0")
    place = begun.headers["location"]
    looked = await ask(service, "HEAD", place)
    assert (looked.code, looked.headers["upload-offset"], looked.headers["upload-length"]) == (204, "20000", "50000")
    wrong = await ask(service, "PATCH", place, BIG[:20_000], piece(0))
    assert (wrong.code, wrong.headers["upload-offset"], told(wrong)["expected-offset"]) == (409, "20000", 20_000)
    more = await ask(service, "PATCH", place, BIG[20_000:40_000], piece(20_000))
    assert (more.code, more.headers["upload-offset"]) == (204, "40000")
    for body, headers in ((BIG[40_000:], piece(40_000, last=True)), (b"", piece(50_000, last=True))):  # and again
        done = await ask(service, "PATCH", place, body, headers)
        assert (done.code, done.headers["upload-complete"]) == (200, "?1")
        document = told(done)
        assert (document["id"], document["size"]) == (content_id(BIG), len(BIG))
        assert document["expires"] - document["uploaded"] == pytest.approx(3600)
    assert (await ask(service, "PATCH", place, b"more", piece(50_000))).code == 409
    assert (await ask(service, "HEAD", place)).headers["upload-complete"] == "?1"
    assert (await ask(service, "GET", f"/file/{content_id(BIG)}")).body == BIG
    assert (await ask(service, "DELETE", place)).code == 204
    assert (await ask(service, "HEAD", place)).code == 404
    assert (await ask(service, "GET", f"/file/{content_id(BIG)}")).code == 200


async def test_pieces_that_break_the_rules(start):
    service = await start()
    place = (await ask(service, "POST", "/file", BIG[:20_000], half())).headers["location"]
    for body, headers, code in (
        (b"x" * 16_383, piece(20_000), 400),
        (b"x" * 30_001, piece(20_000), 400),
        (b"x" * 20_000, piece(20_000, last=True), 400),
        (b"x" * (1024 * 1024 + 1), piece(20_000), 413),
        (b"x" * 20_000, {"Upload-Offset": "20000"}, 400),
        (b"x" * 20_000, {"Upload-Complete": "?0"}, 400),
    ):
        assert (await ask(service, "PATCH", place, body, headers)).code == code
    assert (await ask(service, "PUT", place, b"x" * 20_000, piece(20_000))).code == 405
    assert (await ask(service, "HEAD", place)).headers["upload-offset"] == "20000"


async def test_numbers_as_ids_for_uploads_in_pieces(start):
    service = await start(ids=Ids.NUMERIC)
    place = (await ask(service, "POST", "/file", BIG, half())).headers["location"]
    ids = {told(await ask(service, "PATCH", place, b"", piece(len(BIG), last=True)))["id"] for _ in range(2)}
    (number,) = ids
    assert number.isdecimal()
    assert (await ask(service, "GET", f"/file/{number}")).body == BIG


async def test_a_whole_file_that_says_so_is_an_ordinary_upload(start):
    service = await start()
    reply = await ask(service, "POST", "/file", b"content", {"Upload-Complete": "?1"})
    assert told(reply)["id"] == content_id(b"content")


async def test_pieces_come_directly_over_sockets_too(start):
    service = await start()
    world = real.world()

    async def request(method, target, body=b"", headers=None):
        asked = HttpRequest(method, target, headers or {}, body)
        return await world.net.request(service.endpoint, asked, tls=None, timeout=5)

    begun = await request("POST", "/file", BIG[:20_000], half())
    place = begun.headers["location"]
    assert (await request("HEAD", place)).headers["upload-offset"] == "20000"
    done = await request("PATCH", place, BIG[20_000:], piece(20_000, last=True))
    assert (done.status, told(done)["id"]) == (200, content_id(BIG))
    await world.net.close()


async def test_bytes_of_pieces_are_limited_like_others(start):
    limits = Limits(max_file=50_000, upload_burst_bytes=50_000, upload_bytes_per_second=0.001)
    service = await start(limits=limits)
    place = (await ask(service, "POST", "/file", BIG[:20_000], half())).headers["location"]
    assert (await ask(service, "PATCH", place, BIG[20_000:], piece(20_000))).code == 204
    assert (await ask(service, "POST", "/file", BIG[:20_000], half())).code == 429
    assert (await ask(service, "PATCH", place, b"", piece(50_000, last=True))).code == 200


async def test_logs_name_no_upload(start, caplog):
    caplog.set_level(logging.DEBUG)
    service = await start()
    place = (await ask(service, "POST", "/file", BIG[:20_000], half())).headers["location"]
    await ask(service, "PATCH", place, BIG, piece(5))
    await service._store._blobs.drop(await service._store._blobs.names())
    await ask(service, "PATCH", place, BIG[20_000:], piece(20_000))
    assert (await ask(service, "PATCH", place, b"", piece(50_000, last=True))).code == 404
    assert "damaged" in caplog.text
    assert place.removeprefix("/uploads/") not in caplog.text


# ---- the onion endpoint


async def raw(service, body, method="POST"):
    answer = service.handle(HttpRequest(method, "/oxen/v4/lsrpc", {}, body, PEER))
    return await answer if asyncio.iscoroutine(answer) else answer


async def test_what_cannot_be_opened_is_refused_in_clear_text(start):
    service = await start()
    good, _ = sealed(encode_request(ServerRequest("GET", "/file/1")))
    other, _ = sealed(b"x", key=X25519KeyPair.from_secret(bytes(32)).public)
    cbc, _ = sealed(encode_request(ServerRequest("GET", "/file/1")), EncType.AES_CBC)
    low_order, _ = sealed(b"x", ephemeral_key="00" * 32)
    for body in (b"", b"x" * 100, good[:-1], b"\xff\xff\xff\xff" + good[4:], other, cbc, low_order):
        reply = await raw(service, body)
        assert (reply.status, reply.body) == (400, b"Invalid onion request")
    assert (await raw(service, good, "GET")).status == 405
    assert (await raw(service, good)).status == 200


@pytest.mark.parametrize("payload", [b"", b"le", b"l1:xe", b"l2:{}e", b"d1:a1:be", b"l" * 5000, b'l14:{"method":"G"}e'])
async def test_what_is_opened_but_makes_no_sense_is_refused_under_seal(start, payload):
    service = await start()
    frame, cipher = sealed(payload)
    reply = await raw(service, frame)
    assert reply.status == 200
    assert decode_response(cipher.decrypt(reply.body)).code == 400


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_noise_gets_an_answer_whatever_it_is(tmp_path_factory, data):
    frame, _ = sealed(encode_request(ServerRequest("POST", "/file", {}, b"x")))
    body = data.draw(
        st.binary(max_size=300)
        | st.builds(lambda a, b: frame[:a] + b + frame[a:], st.integers(0, 300), st.binary(max_size=9))
    )

    async def main():
        config = FileServerConfig(Endpoint("127.0.0.1", 0), tmp_path_factory.mktemp("noise"))
        service = FileService(real.world(), KEYS, config)
        return await raw(service, body)

    assert asyncio.run(main()).status in {200, 400}


async def test_direct_requests_work_unless_switched_off(start):
    service = await start()
    reply = await direct(service, "POST", "/file", b"content", {"x-fs-ttl": "60"})
    file_id = told(reply)["id"]
    assert (await direct(service, "GET", f"/file/{file_id}")).body == b"content"
    assert (await direct(service, "GET", f"/file/{file_id}", headers={"range": "bytes=1-2"})).status == 206
    hidden = await start(direct=False)
    assert (await direct(hidden, "GET", f"/file/{file_id}")).status == 404
    assert (await ask(hidden, "GET", f"/file/{file_id}")).body == b"content"


async def test_over_real_sockets_too_large_a_body_is_refused_before_it_is_read(start):
    service = await start(limits=Limits(max_file=1000))
    world = real.world()

    async def post(size):
        request = HttpRequest("POST", "/file", {}, bytes(size))
        return (await world.net.request(service.endpoint, request, tls=None, timeout=5)).status

    assert await post(1000) == 200
    assert await post(1001) == 413
    assert await post(200_000) == 413
    await world.net.close()


# ---- limits


async def test_requests_of_one_address_are_limited_under_seal(start):
    service = await start(limits=Limits(request_burst=3, requests_per_second=0.001))
    codes = [(await ask(service, "GET", "/file/1")).code for _ in range(5)]
    assert codes == [404, 404, 404, 429, 429]
    assert (await ask(service, "GET", "/file/1", peer="10.0.0.10")).code == 404


async def test_a_whole_ipv6_network_counts_as_one(start):
    service = await start(limits=Limits(request_burst=1, requests_per_second=0.001))
    assert (await ask(service, "GET", "/file/1", peer="2001:db8::1")).code == 404
    assert (await ask(service, "GET", "/file/1", peer="2001:db8::2")).code == 429
    assert (await ask(service, "GET", "/file/1", peer="2001:db8:0:1::1")).code == 404


async def test_uploaded_bytes_of_one_address_are_limited(start):
    service = await start(limits=Limits(max_file=1000, upload_burst_bytes=2500, upload_bytes_per_second=0.001))
    codes = [(await ask(service, "POST", "/file", b"%d" % number * 1000)).code for number in range(4)]
    assert codes == [200, 200, 429, 429]
    assert (await ask(service, "POST", "/file", b"x" * 500)).code == 200
    assert (await ask(service, "POST", "/file", b"x" * 1000, peer="10.0.0.10")).code == 200


async def test_a_full_server_says_so_and_still_serves(start):
    service = await start(limits=Limits(max_file=1000, max_bytes=1500))
    file_id = told(await ask(service, "POST", "/file", b"1" * 1000))["id"]
    assert (await ask(service, "POST", "/file", b"2" * 1000)).code == 507
    assert (await ask(service, "GET", f"/file/{file_id}")).code == 200
    assert (await ask(service, "POST", "/file", b"1" * 1000)).code == 200


async def test_too_much_at_once_is_refused(start):
    service = await start(limits=Limits(max_waiting_bytes=5000))
    release = asyncio.Event()
    answer = service._routes.answer

    async def slow(request, peer):
        await release.wait()
        return await answer(request, peer)

    service._routes.answer = slow
    waiting = [asyncio.ensure_future(ask(service, "POST", "/file", bytes(2000))) for _ in range(2)]
    await asyncio.sleep(0)
    assert (await direct(service, "POST", "/file", bytes(2000))).status == 503
    frame, _ = sealed(encode_request(ServerRequest("POST", "/file", {}, bytes(2000))))
    assert (await raw(service, frame)).status == 503
    release.set()
    assert [reply.code for reply in await asyncio.gather(*waiting)] == [200, 200]
    assert (await direct(service, "POST", "/file", bytes(2000))).status == 200


async def test_storage_that_hangs_or_fails_is_told_under_seal(start, monkeypatch, caplog):
    service = await start()
    monkeypatch.setattr("ramson.servers.files.service.ANSWER_SECONDS", 0.05)

    async def hang(*_):
        await asyncio.sleep(10)

    service._store.find = hang
    assert (await ask(service, "GET", "/file/1")).code == 503
    service._store._catalogue._path = None
    await service._store._catalogue._disk.run(lambda: service._store._catalogue._db.execute("DROP TABLE files"))
    assert (await ask(service, "POST", "/file", b"x")).code == 503
    assert "storage failed" in caplog.text


async def test_expired_files_are_swept_while_it_runs(start, monkeypatch, tmp_path):
    monkeypatch.setattr("ramson.servers.files.service.SWEEP_SECONDS", 0.05)
    service = await start()
    await ask(service, "POST", "/file", b"content", {"X-FS-TTL": "1"})
    blobs = service._store._blobs
    assert len(await blobs.names()) == 1
    async with asyncio.timeout(10):
        while await blobs.names():  # noqa: ASYNC110 - what is waited for happens on a disk
            await asyncio.sleep(0.05)


async def test_logs_name_nobody(start, caplog):
    caplog.set_level(logging.DEBUG)
    service = await start(limits=Limits(max_file=1000, max_bytes=1500))
    file_id = told(await ask(service, "POST", "/file", b"1" * 1000))["id"]
    await ask(service, "POST", "/file", b"2" * 1000)
    await service._store._blobs.drop(await service._store._blobs.names())
    assert (await ask(service, "GET", f"/file/{file_id}")).code == 404
    assert "damaged" in caplog.text
    for secret in (PEER, file_id, KEYS.ed25519.seed.hex()):
        assert secret not in caplog.text


async def test_a_taken_address_leaves_nothing_open(start, tmp_path):
    service = await start()
    second = FileService(real.world(), KEYS, FileServerConfig(service.endpoint, tmp_path / "second"))
    with pytest.raises(CannotListen):
        await second.__aenter__()
