"""Raw public keys between this node's handshake and GnuTLS, an independent implementation of RFC 7250.

GnuTLS's programs speak TLS over TCP, so the handshake that QUIC carries in its own packets is put into TLS records
here; the messages are the same.  Skipped where the programs (`gnutls-bin`) are not installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil

import pytest
from aioquic import tls
from aioquic.buffer import Buffer
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from ramson.crypto.keys import Ed25519KeyPair
from ramson.world.real.quic_tls import RawKey, RawKeyContext

pytestmark = pytest.mark.skipif(shutil.which("gnutls-serv") is None, reason="needs gnutls-bin")

HOST = "127.0.0.1"
OURS = Ed25519KeyPair.from_seed(b"o" * 32)
THEIRS = Ed25519KeyPair.from_seed(b"t" * 32)
PRIORITY = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CTYPE-ALL:+CTYPE-SRV-RAWPK:+CTYPE-CLI-RAWPK"
HANDSHAKE, DATA = 22, 23


class Records:
    """A handshake over TCP: the record layer of RFC 8446 §5, as far as it is needed."""

    def __init__(self, context, reader, writer):
        self.context, self.reader, self.writer = context, reader, writer
        self.keys = {}
        context.update_traffic_key_cb = self._key

    def _key(self, direction, epoch, suite, secret):
        algorithm = tls.cipher_suite_hash(suite)
        size = 16 if suite == tls.CipherSuite.AES_128_GCM_SHA256 else 32
        cipher = ChaCha20Poly1305 if suite == tls.CipherSuite.CHACHA20_POLY1305_SHA256 else AESGCM
        key = tls.hkdf_expand_label(algorithm, secret, b"key", b"", size)
        iv = tls.hkdf_expand_label(algorithm, secret, b"iv", b"", 12)
        self.keys[direction, epoch] = [cipher(key), int.from_bytes(iv), 0]

    def _aead(self, direction, epoch):
        key = self.keys[direction, epoch]
        nonce = (key[1] ^ key[2]).to_bytes(12)
        key[2] += 1
        return key[0], nonce

    def feed(self, data):
        out = {epoch: Buffer(capacity=16384) for epoch in tls.Epoch}
        self.context.handle_message(data, out)
        for epoch, buffer in out.items():
            if buffer.data:
                self.send(epoch, buffer.data)

    def send(self, epoch, data, kind=HANDSHAKE):
        if epoch is not tls.Epoch.INITIAL:
            cipher, nonce = self._aead(tls.Direction.ENCRYPT, epoch)
            head = b"\x17\x03\x03" + (len(data) + 17).to_bytes(2)
            self.writer.write(head + cipher.encrypt(nonce, data + bytes([kind]), head))
        else:
            self.writer.write(b"\x16\x03\x03" + len(data).to_bytes(2) + data)

    async def receive(self):
        """Return the kind and content of one record."""
        head = await self.reader.readexactly(5)
        body = await self.reader.readexactly(int.from_bytes(head[3:]))
        if head[0] != DATA:
            return head[0], body
        done = self.context.state in {tls.State.CLIENT_POST_HANDSHAKE, tls.State.SERVER_POST_HANDSHAKE}
        epoch = tls.Epoch.ONE_RTT if done else tls.Epoch.HANDSHAKE
        cipher, nonce = self._aead(tls.Direction.DECRYPT, epoch)
        plain = cipher.decrypt(nonce, body, head).rstrip(b"\0")
        return plain[-1], plain[:-1]

    async def close(self):
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def shake(self):
        if self.context.state is tls.State.CLIENT_HANDSHAKE_START:
            self.feed(b"")
        ends = {tls.State.CLIENT_POST_HANDSHAKE, tls.State.SERVER_POST_HANDSHAKE}
        while self.context.state not in ends:
            kind, content = await self.receive()
            if kind == HANDSHAKE:
                self.feed(content)
            elif kind == 21:
                raise ConnectionError(f"alert {content.hex()}")


def context(*, is_client, expected=None):
    made = RawKeyContext(is_client=is_client, expected=expected)
    made.certificate = RawKey(OURS.public)
    made.certificate_private_key = Ed25519PrivateKey.from_private_bytes(OURS.seed)
    return made


@pytest.fixture
def their_key(tmp_path):
    """Write the key of GnuTLS's side; return the options that name it."""
    key = Ed25519PrivateKey.from_private_bytes(THEIRS.seed)
    private = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    (tmp_path / "key.pem").write_bytes(private)
    public = key.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    return ["--rawpkkeyfile", str(tmp_path / "key.pem"), "--rawpkfile", str(tmp_path / "public.pem")]


@contextlib.asynccontextmanager
async def program(*arguments):
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def server(options, *more):
    # It listens at all addresses: a port of this process's own, and none that the kernel gives away.
    port = 4500 + int(os.environ["RAMSON_TESTS_BLOCK"].partition(".")[2])
    command = ["gnutls-serv", "--port", str(port), "--priority", PRIORITY, "--alpn", "oxenstorage", "--echo"]
    async with program(*command, *options, *more) as process:
        heard = b""
        while b"listening" not in heard.lower():
            line = await asyncio.wait_for(process.stdout.readline(), 10)
            assert line, heard
            heard += line
        yield port


async def connect(port, expected):
    reader, writer = await asyncio.open_connection(HOST, port)
    records = Records(context(is_client=True, expected=expected), reader, writer)
    try:
        await asyncio.wait_for(records.shake(), 10)
    except BaseException:
        await records.close()
        raise
    return records


async def test_gnutls_serves_us_its_raw_key(their_key):
    async with server(their_key, "--disable-client-cert") as port:
        records = await connect(port, THEIRS.public)
        assert records.context.alpn_negotiated == "oxenstorage"
        records.send(tls.Epoch.ONE_RTT, b"hello\n", DATA)
        while (got := await asyncio.wait_for(records.receive(), 10))[0] != DATA:
            pass
        assert got[1] == b"hello\n"
        await records.close()


async def test_we_refuse_a_raw_key_of_gnutls_that_is_not_the_expected_one(their_key):
    async with server(their_key, "--disable-client-cert") as port:
        with pytest.raises(tls.AlertBadCertificate):
            await connect(port, OURS.public)


async def test_gnutls_asks_for_our_raw_key_and_takes_it(their_key):
    async with server(their_key, "--require-client-cert") as port:
        records = await connect(port, THEIRS.public)
        records.send(tls.Epoch.ONE_RTT, b"hello\n", DATA)
        while (got := await asyncio.wait_for(records.receive(), 10))[0] != DATA:
            assert got[0] == HANDSHAKE, got  # a session ticket; an alert would be the refusal
        assert got[1] == b"hello\n"
        await records.close()


@pytest.mark.parametrize("more", [":+CTYPE-ALL", ""], ids=["takes X.509 as well", "takes raw keys only"])
async def test_we_serve_gnutls_our_raw_key(their_key, more):
    said = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        records = Records(context(is_client=False), reader, writer)
        try:
            await records.shake()
            result, error = await records.receive(), None
        except Exception as caught:
            result, error = None, caught
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        said.set_result(result) if error is None else said.set_exception(error)

    listener = await asyncio.start_server(serve, HOST, 0)
    port = listener.sockets[0].getsockname()[1]
    command = ["gnutls-cli", "--insecure", "--priority", PRIORITY + more, "--alpn", "oxenstorage", "--port", str(port)]
    async with listener, program(*command, *their_key, HOST) as process:
        process.stdin.write(b"hello\n")
        try:
            assert await asyncio.wait_for(said, 10) == (DATA, b"hello\n")
        except BaseException:
            process.kill()
            print((await process.stdout.read()).decode())
            raise
