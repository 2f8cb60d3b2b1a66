"""A SOCKS5 proxy without passwords (RFC 1928, CONNECT only): `python socks.py ADDRESS PORT`.  Resolves names itself."""

import asyncio
import contextlib
import sys


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one client."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        _, _, _, kind = await reader.readexactly(4)
        if kind == 1:
            host = ".".join(map(str, await reader.readexactly(4)))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode("ascii")
        port = int.from_bytes(await reader.readexactly(2), "big")
        try:
            there = await asyncio.open_connection(host, port)
        except OSError:
            writer.write(b"\x05\x05\x00\x01" + bytes(6))
        else:
            writer.write(b"\x05\x00\x00\x01" + bytes(6))
            await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
    writer.close()


async def main(address: str, port: str) -> None:
    """Serve until killed."""
    server = await asyncio.start_server(serve, address, int(port))
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
