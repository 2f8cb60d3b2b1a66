"""A pluggable transport for tests, a program: it carries connections as they are, and misbehaves as its arguments say.

As a client it offers the method `plain` by SOCKS5 and writes each login it is shown to the file LOG in its state
directory.  Run as `fake_transport.py HOW`.
"""

import asyncio
import os
import sys
from pathlib import Path


def say(line: str) -> None:
    print(line, flush=True)


async def serve(reader, writer):
    state = Path(os.environ["TOR_PT_STATE_LOCATION"])
    _, count = await reader.readexactly(2)
    methods = await reader.readexactly(count)
    writer.write(bytes([5, methods[0]]))
    login = []
    if methods[0] == 2:
        await reader.readexactly(1)
        login = [(await reader.readexactly((await reader.readexactly(1))[0])).decode() for _ in range(2)]
        writer.write(b"\x01\x00")
    with (state / "LOG").open("a") as log:
        log.write(repr(login) + "\n")
    await reader.readexactly(4)
    host = ".".join(map(str, await reader.readexactly(4)))
    port = int.from_bytes(await reader.readexactly(2))
    try:
        far_reader, far_writer = await asyncio.open_connection(host, port)
    except OSError:
        writer.write(b"\x05\x05\x00\x01" + bytes(6))
        writer.close()
        return
    writer.write(b"\x05\x00\x00\x01" + bytes(6))

    async def pump(source, sink):
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


async def main(how: str) -> None:
    assert os.environ["TOR_PT_MANAGED_TRANSPORT_VER"] == "1"
    assert os.environ["TOR_PT_EXIT_ON_STDIN_CLOSE"] == "1"
    assert not [name for name in os.environ if name.startswith("RAMSON")]
    state = Path(os.environ["TOR_PT_STATE_LOCATION"])
    with (state / "RUNS").open("a") as runs:
        runs.write(f"{os.getpid()}\n")
    if how == "mute":
        await asyncio.sleep(3600)
    if how == "chatty":
        say("LOG SEVERITY=notice MESSAGE=" + "x" * 1_000_000)
    if how == "old":
        say("VERSION-ERROR no-version")
    say("VERSION 1")
    if how == "error":
        say("CMETHOD-ERROR plain cannot")
    elif how == "elsewhere":
        say("CMETHOD plain socks5 192.0.2.1:1080")
    elif how != "none":
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        say("LOG SEVERITY=notice MESSAGE=hello")
        say(f"CMETHOD plain socks5 127.0.0.1:{server.sockets[0].getsockname()[1]}")
    say("CMETHODS DONE")
    say('STATUS TRANSPORT=plain CONNECT="Success"')
    loop = asyncio.get_running_loop()
    if how == "deaf":  # to everything but force
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        await asyncio.sleep(3600)
    if how == "stops":
        await asyncio.sleep(0.3)
        return
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


asyncio.run(main(sys.argv[1]))
