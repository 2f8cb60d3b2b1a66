"""Small proxies for tests: a SOCKS5 server and a CONNECT server, that tell what they were asked."""

import asyncio
import base64
import contextlib
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """A proxy on 127.0.0.1; `names` says where the names it is asked for really are."""

    user: str = ""
    password: str = ""
    names: dict[str, str] = field(default_factory=dict)
    refusal: int = 0  # the SOCKS5 reply code, or the HTTP status, it gives to every request
    silent: bool = False
    asked: list[tuple[str, int]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)

    async def __aenter__(self):
        self.tasks = set()
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        try:
            if self.silent:
                await reader.read()
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self.handshake(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            writer.close()

    async def pass_on(self, reader, writer, host, port, granted):
        self.asked.append((host, port))
        far_reader, far_writer = await asyncio.open_connection(self.names.get(host, host), port)
        writer.write(granted)

        async def pump(source, sink):
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            with contextlib.suppress(OSError, RuntimeError):
                sink.write_eof()

        try:
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        finally:
            far_writer.close()


class Socks(Proxy):
    scheme = "socks5"

    async def handshake(self, reader, writer):
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = 2 if self.user or 2 in methods else 0
        if wanted not in methods:
            writer.write(b"\x05\xff")
            return
        writer.write(bytes([5, wanted]))
        if wanted == 2:
            _, size = await reader.readexactly(2)
            user = (await reader.readexactly(size)).decode()
            password = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
            self.logins.append((user, password))
            fine = not self.user or (user, password) == (self.user, self.password)
            writer.write(bytes([1, not fine]))
            if not fine:
                return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = ".".join(map(str, await reader.readexactly(4)))
        port = int.from_bytes(await reader.readexactly(2))
        if self.refusal:
            writer.write(bytes([5, self.refusal, 0, 1]) + bytes(6))
            return
        await self.pass_on(reader, writer, host, port, b"\x05\x00\x00\x03\x04host\x00\x01")


class Connect(Proxy):
    scheme = "http"

    async def handshake(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        if self.user:
            login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            if f"Proxy-Authorization: Basic {login}" not in lines:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                return
        host, _, port = lines[0].split(" ")[1].rpartition(":")
        if self.refusal:
            writer.write(f"HTTP/1.1 {self.refusal} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        await self.pass_on(reader, writer, host, int(port), b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n")
