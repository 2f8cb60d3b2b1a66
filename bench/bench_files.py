"""What an upload costs a file server: CPU ms of a file of 8 MiB at once and in pieces.  `python bench/bench_files.py`.

Server and sealing are in one process, without a network; what sealing alone costs is measured apart and taken off.
"""

import asyncio
import random
import tempfile
import time
from pathlib import Path

from ramson.crypto.keys import X25519KeyPair
from ramson.crypto.onion import EncType, client_cipher
from ramson.protocol import onion
from ramson.protocol.resumable_uploads import Piece, creation_headers, piece_headers
from ramson.protocol.server_v4 import ServerRequest, decode_response, encode_request
from ramson.servers.files import FileServerConfig, FileService
from ramson.servers.files.config import Limits
from ramson.servers.keys import ServerKeys
from ramson.world import Endpoint, HttpRequest, real

SIZE = 8 * 1024 * 1024
ROUNDS = 2
KEYS = ServerKeys.from_seed(bytes(32))


class Client:
    """Asks a service by sealed requests, and knows what its own part cost."""

    def __init__(self, service):
        self.service = service
        self.own = 0.0

    async def ask(self, method, endpoint, headers, body):
        began = time.process_time()
        entropy = random.Random(1)
        ephemeral = X25519KeyPair.generate(entropy)
        cipher = client_cipher(EncType.XCHACHA20, ephemeral, KEYS.x25519.public)
        payload = encode_request(ServerRequest(method, endpoint, headers, body))
        routing = {"ephemeral_key": ephemeral.public.hex(), "enc_type": "xchacha20"}
        frame = onion.encode_frame(cipher.encrypt(payload, entropy.randbytes(cipher.nonce_size)), routing)
        self.own += time.process_time() - began
        reply = await self.service.handle(HttpRequest("POST", "/oxen/v4/lsrpc", {}, frame, "10.0.0.1"))
        response = decode_response(cipher.decrypt(reply.body))
        assert response.code < 300, response.code
        return response

    async def upload(self, content, size):
        if size is None:
            await self.ask("POST", "/file", {"Content-Type": "application/octet-stream"}, content)
            return
        begun = await self.ask("POST", "/file", creation_headers(len(content)), content[:size])
        for offset in range(size, len(content), size):
            piece = Piece(offset, last=offset + size >= len(content))
            await self.ask("PATCH", begun.headers["location"], piece_headers(piece), content[offset : offset + size])


async def main():
    limits = Limits(request_burst=1e6, upload_burst_bytes=1e10)
    with tempfile.TemporaryDirectory() as name:
        config = FileServerConfig(Endpoint("127.0.0.1", 0), Path(name) / "server", limits=limits)
        async with FileService(real.world(), KEYS, config) as service:
            print(f"\n{'a file of 8 MiB':<24}{'requests':>10}{'CPU ms':>10}")
            for size in (None, 1024 * 1024, 256 * 1024, 16 * 1024):
                client = Client(service)
                contents = [random.randbytes(SIZE) for _ in range(ROUNDS)]
                began = time.process_time()
                for content in contents:
                    await client.upload(content, size)
                each = (time.process_time() - began - client.own) / ROUNDS
                label = "at once" if size is None else f"in pieces of {size // 1024} KiB"
                print(f"{label:<24}{1 if size is None else SIZE // size:>10}{each * 1000:>10.0f}")


if __name__ == "__main__":
    asyncio.run(main())
