"""An obfs4 door to the bridge: a pluggable transport program as a server, in front of the bridge's own port.

For people whose network lets no web site of ours through, but connections that look like nothing.  Whoever goes
through it asks the bridge what any client asks.  Spec: pluggable transport specification 1, §3.2 (environment) and
§3.3 (SMETHOD).

Theory of operation.  One task runs the program, hears what it says, one thing a line, and starts it anew with growing
pauses when it ends.  The program ends with us whatever happens to us, for it watches its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from pathlib import Path
from typing import Final

from ramson.errors import LocalError, ParseError
from ramson.node.private_files import make_private_directory, write_private
from ramson.world import Endpoint

LINE_FILE: Final = "obfs4_line"
METHOD: Final = "obfs4"
START_SECONDS: Final = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
STEADY: Final = 60.0  # seconds after which an end is no failure to start
GOODBYE: Final = 3.0
MAX_LINE: Final = 16 * 1024

_KEPT_VARIABLES: Final = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL")
_ARGUMENT: Final = re.compile(r"((?:\\.|[^\\,=])+)=((?:\\.|[^\\,])*)(?:,|$)")

log = logging.getLogger(__name__)


class TransportUnusable(LocalError):
    """The transport program cannot be started, or not at this address."""


class Door:
    """Runs `program` (a name or path), listening at `listen` and leading to `target`.

    `directory` is where it keeps its keys, and where the line for clients is written.
    """

    def __init__(self, program: str, listen: Endpoint, target: Endpoint, directory: Path) -> None:
        self._program = program
        self._listen = listen
        self._target = target
        self._directory = directory
        self._line: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def line(self) -> str:
        """Wait until it serves, and return the line for clients.  Raises TransportUnusable."""
        return await asyncio.shield(self._line)

    async def run(self) -> None:
        """Keep it running until cancelled."""
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
        while True:
            began = loop.time()
            try:
                await self._run_once()
                log.warning("the transport has ended")
            except (OSError, ParseError, TimeoutError) as error:
                if not self._line.done():
                    self._line.set_exception(TransportUnusable(f"the transport does not start: {error}"))
                    return
                log.warning("the transport does not start: %s", type(error).__name__)
            pause = FIRST_PAUSE if loop.time() - began > STEADY else min(LONGEST_PAUSE, pause * 2)
            await asyncio.sleep(pause)

    async def _run_once(self) -> None:
        state = self._directory / METHOD
        make_private_directory(state)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            self._program,
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment(self._listen, self._target, state),
            limit=MAX_LINE,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                line = await self._started(process)
            write_private(self._directory / LINE_FILE, f"{line}\n".encode())
            if not self._line.done():
                self._line.set_result(line)
            while process.stdout is not None and await process.stdout.read(MAX_LINE):
                pass  # what it logs is about nobody, but nobody needs it either
            await process.wait()
        finally:
            await _end(process)

    @staticmethod
    async def _started(process: asyncio.subprocess.Process) -> str:
        if process.stdout is None:
            raise ParseError("the transport says nothing")
        line = ""
        try:
            async for heard in process.stdout:
                words = heard.decode(errors="replace").strip()
                if words == "SMETHODS DONE" and line:
                    return line
                line = hear(words) or line
        except ValueError:  # a line without end
            raise ParseError("the transport speaks another protocol") from None
        raise ParseError("the transport offers nothing")


def hear(words: str) -> str | None:
    """Return the line for clients that an SMETHOD says, None for anything else.  Raises ParseError for errors."""
    keyword, _, rest = words.partition(" ")
    if keyword in {"VERSION-ERROR", "ENV-ERROR", "SMETHOD-ERROR"}:
        raise ParseError(f"the transport cannot work here ({keyword})")
    if keyword != "SMETHOD":
        return None
    name, _, rest = rest.partition(" ")
    address, _, options = rest.partition(" ")
    if name != METHOD or ":" not in address:
        raise ParseError("the transport speaks another protocol")
    packed = next((each.removeprefix("ARGS:") for each in options.split(" ") if each.startswith("ARGS:")), "")
    arguments = [f"{_plain(key)}={_plain(value)}" for key, value in _ARGUMENT.findall(packed)]
    return " ".join([name, address, *arguments])


def environment(listen: Endpoint, target: Endpoint, state: Path) -> dict[str, str]:
    """Return the variables that tell a program what is wanted of it as a server; of ours it gets what any needs."""
    return {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} | {
        "TOR_PT_MANAGED_TRANSPORT_VER": "1",
        "TOR_PT_STATE_LOCATION": str(state.absolute()),
        "TOR_PT_EXIT_ON_STDIN_CLOSE": "1",
        "TOR_PT_SERVER_TRANSPORTS": METHOD,
        "TOR_PT_SERVER_BINDADDR": f"{METHOD}-{listen}",
        "TOR_PT_ORPORT": str(target),
    }


def _plain(escaped: str) -> str:
    return re.sub(r"\\(.)", r"\1", escaped)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the program: by its input's end, or else by force."""
    if process.stdin is not None:
        process.stdin.close()
    for force in (process.terminate, process.kill):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await process.wait()
                return
        with contextlib.suppress(ProcessLookupError):
            force()
    await process.wait()
