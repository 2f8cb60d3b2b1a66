"""An obfs4 door to the bridge: a pluggable transport program as a server, in front of the bridge's own port.

For people whose network lets no web site of ours through, but connections that look like nothing.  Whoever goes
through it asks the bridge what any client asks.  Spec: pluggable transport specification 1, §3.2 (environment) and
§3.3 (SMETHOD).

Theory of operation.  One task keeps the program running (`world.real.child`) and hears what it says, one thing a line.
The program is told to watch its standard input, so that it ends with us.
"""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Final

from ramson.errors import LocalError, ParseError
from ramson.node.private_files import make_private_directory, write_private
from ramson.world import Endpoint
from ramson.world.real import child

LINE_FILE: Final = "obfs4_line"
METHOD: Final = "obfs4"
START_SECONDS: Final = 30.0
MAX_LINE: Final = 16 * 1024

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
        await child.keep_running(self._run_once, self._gives_up)

    def _gives_up(self, failure: Exception | None) -> bool:
        if failure is None:
            log.warning("the transport has ended")
            return False
        if not self._line.done():
            self._line.set_exception(TransportUnusable(f"the transport does not start: {failure}"))
            return True
        log.warning("the transport does not start: %s", type(failure).__name__)
        return False

    async def _run_once(self) -> None:
        state = self._directory / METHOD
        make_private_directory(state)
        variables = environment(self._listen, self._target, state)
        async with child.running([self._program], variables, max_line=MAX_LINE) as output:
            async with asyncio.timeout(START_SECONDS):
                line = await self._started(output)
            write_private(self._directory / LINE_FILE, f"{line}\n".encode())
            if not self._line.done():
                self._line.set_result(line)
            while await output.read(MAX_LINE):
                pass  # what it logs is about nobody, but nobody needs it either

    @staticmethod
    async def _started(output: asyncio.StreamReader) -> str:
        line = ""
        try:
            async for heard in output:
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
    return child.environment(
        {
            "TOR_PT_MANAGED_TRANSPORT_VER": "1",
            "TOR_PT_STATE_LOCATION": str(state.absolute()),
            "TOR_PT_EXIT_ON_STDIN_CLOSE": "1",
            "TOR_PT_SERVER_TRANSPORTS": METHOD,
            "TOR_PT_SERVER_BINDADDR": f"{METHOD}-{listen}",
            "TOR_PT_ORPORT": str(target),
        }
    )


def _plain(escaped: str) -> str:
    return re.sub(r"\\(.)", r"\1", escaped)
