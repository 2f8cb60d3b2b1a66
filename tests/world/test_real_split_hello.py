"""What leaves this machine when the hello is to be cut, and that every server understands it."""

import asyncio
import os
import shutil
import socket

import pytest

from ramson.world import Endpoint, HttpRequest, HttpResponse, NetError, Stage, Tls, real
from ramson.world.http import HttpLimits
from ramson.world.real.client import HttpClient
from ramson.world.real.dialer import DirectDialer
from ramson.world.real.tls import server_context
from ramson.world.real.tls_layer import PAUSE

ASK = HttpRequest("POST", "/x", {}, b"body")
NAMED = Tls(server_name="seed1.example.org")


async def first_packets(tls: Tls, *, split: bool) -> list[bytes]:
    """What a server reads, read by read, before it has said anything."""
    loop, reads = asyncio.get_running_loop(), []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        endpoint = Endpoint("127.0.0.1", listening.getsockname()[1])
        outlets = real.world().outlets
        net = outlets.split() if split else outlets.direct()
        asking = asyncio.create_task(net.request(endpoint, ASK, tls=tls, timeout=5))
        connection, _ = await loop.sock_accept(listening)
        with connection:
            connection.setblocking(False)
            whole = 0
            while len(reads) < 2 and whole < 200:
                reads.append(await loop.sock_recv(connection, 65536))
                whole += 0 if split else 1000
        with pytest.raises(NetError) as caught:
            await asking
        assert (caught.value.stage, caught.value.reached, caught.value.received) == (Stage.TLS, Stage.TLS, 0)
        await net.close()
    return reads


async def test_the_hello_leaves_in_two_records_and_two_segments():
    first, second = await first_packets(NAMED, split=True)
    for each in (first, second):  # each segment is exactly one handshake record
        assert each[:3] == b"\x16\x03\x01"
        assert int.from_bytes(each[3:5]) == len(each) - 5
    assert first[5] == 1
    assert b"seed1.example.org" in first[5:] + second[5:]
    assert b"seed1.example.org" not in first + second


async def test_the_hello_to_a_bare_address_is_cut_as_well():
    first, second = await first_packets(Tls(), split=True)
    assert abs(len(first) - len(second)) <= 1


async def test_the_straight_way_leaves_the_hello_whole():
    (hello,) = await first_packets(NAMED, split=False)
    assert b"seed1.example.org" in hello
    assert int.from_bytes(hello[3:5]) == len(hello) - 5


async def echo(request):
    return HttpResponse(200, {}, request.body)


async def test_our_own_server_understands_it(certificate):
    world = real.world()
    listener = await world.net.listen(Endpoint("127.0.0.1", 0), echo, certificate=certificate, limits=HttpLimits())
    net = world.outlets.split()
    for body in (b"short", bytes(3_000_000)):
        reply = await net.request(listener.endpoint, HttpRequest("POST", "/", {}, body), tls=NAMED, timeout=10)
        assert reply.body == body
    assert listener.connections == 1  # the second went over the connection of the first
    await net.close()
    await listener.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("groups", ["X25519", "P-521"])  # the second asks for another hello in TLS 1.3
async def test_openssl_understands_it(certificate, tmp_path, version, groups):
    (tmp_path / "pem").write_bytes(certificate.certificate + certificate.private_key)
    endpoint = Endpoint(os.environ["RAMSON_TESTS_BLOCK"] + ".47.1", 4433)
    server = await asyncio.create_subprocess_exec(
        *("openssl", "s_server", "-accept", str(endpoint), "-cert", str(tmp_path / "pem"), "-www", version),
        *("-groups", groups),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        while b"ACCEPT" not in await server.stdout.readline():
            pass
        client = HttpClient(DirectDialer(), split=True)
        reply = await client.request(endpoint, HttpRequest("GET", "/"), tls=NAMED, timeout=10, max_reply=100_000)
        assert reply.status == 200
        assert b"s_server" in reply.body
        await client.close()
    finally:
        server.kill()
        await server.wait()


async def test_a_pinned_key_is_asked_for_behind_a_cut_hello_too(certificate):
    world = real.world()
    listener = await world.net.listen(Endpoint("127.0.0.1", 0), echo, certificate=certificate, limits=HttpLimits())
    net = world.outlets.split()
    with pytest.raises(NetError, match="pinned") as caught:
        await net.request(listener.endpoint, ASK, tls=Tls(pins=frozenset({bytes(32)})), timeout=10)
    assert caught.value.received > 500
    await net.close()
    await listener.close()


async def test_a_server_that_goes_away_between_the_halves():
    async def leave(_reader, writer):
        writer.transport.abort()

    server = await asyncio.start_server(leave, "127.0.0.1", 0)
    net = real.world().outlets.split()
    endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
    with pytest.raises(NetError) as caught:
        await net.request(endpoint, ASK, tls=NAMED, timeout=5)
    assert caught.value.reached in {Stage.TLS, Stage.CONNECT}
    await asyncio.sleep(2 * PAUSE)  # nothing comes of the second half
    await net.close()
    server.close()


# ---- how far it came


async def test_silence_after_the_hello_and_in_the_middle_of_a_reply_are_told_apart(certificate):
    fell_silent = asyncio.Event()

    async def silent(reader, writer):
        await reader.read(1)
        fell_silent.set()
        await reader.read()
        writer.close()

    async def freezes(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(16_000))
        fell_silent.set()
        await reader.read()
        writer.close()

    deaf = await asyncio.start_server(silent, "127.0.0.1", 0)
    cold = await asyncio.start_server(freezes, "127.0.0.1", 0, ssl=server_context(certificate))
    net = real.world().outlets.direct()
    for server, reached, least in ((deaf, Stage.TLS, 0), (cold, Stage.REPLY, 16_000)):
        endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
        for seconds in (0.5, 5, 30):  # on a slow machine it may take long to come to that
            fell_silent.clear()
            with pytest.raises(NetError) as caught:
                await net.request(endpoint, ASK, tls=Tls(), timeout=seconds)
            if fell_silent.is_set():
                break
        assert (caught.value.stage, caught.value.reached) == (Stage.TIMEOUT, reached)
        assert least <= caught.value.received <= 2 * least
        assert least <= caught.value.replied <= caught.value.received
        server.close()
    await net.close()
