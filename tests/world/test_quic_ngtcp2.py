"""QUIC with raw public keys between this node and ngtcp2 with GnuTLS, an independent implementation of all of it.

The other end is `ngtcp2_peer.c`, compiled here.  Skipped where that cannot be: it needs a C compiler and Debian's
libngtcp2-dev, libngtcp2-crypto-gnutls-dev and libgnutls28-dev (ngtcp2 0.12).
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ramson.crypto.keys import Ed25519KeyPair
from ramson.protocol.quic_frames import Frame, Kind, encode
from ramson.world import Endpoint, NetError, QuicAnswer, QuicLimits, Stage
from ramson.world.real.quic import listen_quic
from ramson.world.real.quic_client import ask

HOST = "127.0.0.1"
OURS = Ed25519KeyPair.from_seed(b"o" * 32)
THEIRS = Ed25519KeyPair.from_seed(b"t" * 32)
SPKI = "302a300506032b6570032100"
PONG = encode(Frame(Kind.REPLY, 1, b"pong"))


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """Compile the other end; return its path and the files of its key."""
    place = tmp_path_factory.mktemp("ngtcp2")
    source, program = Path(__file__).with_name("ngtcp2_peer.c"), place / "peer"
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler")
    libraries = ["-lngtcp2", "-lngtcp2_crypto_gnutls", "-lgnutls"]
    made = subprocess.run([compiler, "-O1", "-o", program, source, *libraries], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("ngtcp2 with GnuTLS is not there to be compiled with")
    key = Ed25519PrivateKey.from_private_bytes(THEIRS.seed)
    secret = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    (place / "key.pem").write_bytes(secret)
    public = key.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
    (place / "public.pem").write_bytes(public)
    return program, place / "public.pem", place / "key.pem"


async def start(*arguments):
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*map(str, arguments), stdin=pipe, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize("strangers", [16, 0], ids=["at once", "after a retry"])
@pytest.mark.parametrize("size", [0, 3_000_000])
async def test_ngtcp2_asks_us(peer, strangers, size):
    program, public, key = peer
    listener = await listen_quic(
        Endpoint(HOST, 0), OURS, lambda _, name, body: QuicAnswer(name.encode() + body), QuicLimits(strangers=strangers)
    )
    request = encode(Frame(Kind.COMMAND, 1, bytes(size), "snode_ping"))
    reply = encode(Frame(Kind.REPLY, 1, b"snode_ping" + bytes(size)))
    process = await start(program, "ask", listener.endpoint.port, public, key, len(reply))
    said, told = await asyncio.wait_for(process.communicate(request), 20)
    assert (process.returncode, said == reply) == (0, True), told
    assert told.decode().split() == [SPKI + OURS.public.hex()]
    await listener.close()


@pytest.mark.parametrize("request_", [0, 1, 2], ids=["asks for no key", "asks for a key", "insists on a key"])
async def test_we_ask_ngtcp2(peer, request_):
    program, public, key = peer
    process = await start(program, "answer", request_, public, key, PONG.decode())
    place = Endpoint(HOST, int(await process.stdout.readline()))
    answer = await ask(place, THEIRS.public, "snode_ping", b"", identity=OURS, source=None, seconds=10)
    said, told = await asyncio.wait_for(process.communicate(), 20)
    assert answer == QuicAnswer(b"pong")
    assert said == encode(Frame(Kind.COMMAND, 1, b"", "snode_ping"))
    shown = [line for line in told.decode().split() if line.startswith(SPKI)]
    assert shown == ([SPKI + OURS.public.hex()] if request_ else [])


async def test_we_refuse_another_key_of_ngtcp2(peer):
    program, public, key = peer
    process = await start(program, "answer", 0, public, key, PONG.decode())
    place = Endpoint(HOST, int(await process.stdout.readline()))
    with pytest.raises(NetError) as caught:
        await ask(place, OURS.public, "snode_ping", b"", identity=OURS, source=None, seconds=10)
    assert caught.value.reached is Stage.TLS
    said, _ = await asyncio.wait_for(process.communicate(), 20)
    assert said == b""
