"""The processes of a test network: one seed and one process a node, started, killed and restarted.

Each process is what an operator's command starts or, for nodes, what that command becomes.  It prints `ready` when
it serves, and stops when its standard input ends, so that nothing outlives the launcher, however that dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ramson.errors import RamsonError

READY = b"ready"
START_TIMEOUT = 60.0  # seconds; a loaded two-core machine starts a dozen interpreters in about ten
STOP_TIMEOUT = 10.0


class DevnetError(RamsonError):
    """The test network could not be started or lost a process."""


@dataclass(slots=True)
class Worker:
    """One process of the network, `python -m` and the arguments; `log` is where its standard error goes."""

    name: str
    arguments: tuple[str, ...]
    log: Path
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """The process id of the running process."""
        if self._process is None:
            raise DevnetError(f"{self.name} is not running")
        return self._process.pid

    async def start(self) -> None:
        """Start the process and wait until it serves.

        Raises DevnetError with the last line of its log when it ends or stays silent instead.
        """
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *self.arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        stdout = self._process.stdout
        line = b""
        if stdout is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_TIMEOUT):
                    line = await stdout.readline()
        if line.strip() != READY:
            await self.kill()
            raise DevnetError(f"{self.name} did not start: {self._last_words()}", remedy=f"see {self.log}")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    async def kill(self) -> None:
        """End the process as a crash would (SIGKILL)."""
        if self._process is not None and self.running:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """End the process gently, by ending its input; kill it when it does not obey."""
        if self._process is None or not self.running:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._process.wait()
        await self.kill()
