"""The far end of obfs4, as a bridge runs it before its own listener."""

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

from ramson.world import Endpoint

# Where tests run unattended a missing program is a failure, so that they never fall silent.
OBFS4 = shutil.which("obfs4proxy")
needs_obfs4 = pytest.mark.skipif(
    OBFS4 is None and not os.environ.get("RAMSON_CI"),
    reason="obfs4proxy is not installed: make system-packages, as root",
)


async def obfs4_server(state: Path, target: Endpoint):
    """Run the far end of obfs4 before `target`; return the process, where it listens, and the arguments for clients."""
    process = await asyncio.create_subprocess_exec(
        OBFS4 or "obfs4proxy",
        env={
            "PATH": os.environ["PATH"],
            "TOR_PT_MANAGED_TRANSPORT_VER": "1",
            "TOR_PT_STATE_LOCATION": str(state),
            "TOR_PT_EXIT_ON_STDIN_CLOSE": "1",
            "TOR_PT_SERVER_TRANSPORTS": "obfs4",
            "TOR_PT_SERVER_BINDADDR": "obfs4-127.0.0.1:0",
            "TOR_PT_ORPORT": str(target),
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    found = None
    async with asyncio.timeout(30):
        while found is None:
            line = await process.stdout.readline()
            assert line, "obfs4proxy ended"
            found = re.match(rb"SMETHOD obfs4 127\.0\.0\.1:(\d+) ARGS:(\S+)", line)
    arguments = dict(pair.split("=", 1) for pair in found[2].decode().split(","))
    return process, Endpoint("127.0.0.1", int(found[1])), arguments
