"""A person at home: `python traveller.py ACCOUNT NETWORK SETTINGS RECIPIENT`, driven line by line.

Opens (or makes) the account, sends each line of input to RECIPIENT, and waits until it comes back, said by the other.
Prints a line of JSON for each: the seconds until it was kept by the recipient's swarm and until it came back, counted
from the start of the program for the first line and from its reading for others, and the path light.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from ramson.messenger import Client, KeyCost, State
from ramson.network import NetworkProfile
from ramson.protocol import network_file
from ramson.reach import settings
from ramson.reach.node_lists import with_lists

BEGAN = time.monotonic()


async def correspond(client: Client, recipient: str) -> None:
    """Send each line and wait for it."""
    loop = asyncio.get_running_loop()
    began = BEGAN
    async with client as me:
        messages = me.messages()
        print("ready", flush=True)
        while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            began = began or time.monotonic()
            receipt = await me.send(recipient, line)
            kept = time.monotonic() - began
            assert receipt.state is State.SENT, receipt
            async for message in messages:
                if message.incoming and message.body == f"you said {line}":
                    break
            answered = time.monotonic() - began
            said = {"line": line, "kept": kept, "answered": answered, "light": me.path.light, "reason": me.path.reason}
            print(json.dumps(said), flush=True)
            began = 0.0


def main(account: str, network: str, way: str, recipient: str) -> None:
    """Open or make the account and serve until input ends."""
    file = network_file.parse(Path(network).read_bytes())
    profile = with_lists(NetworkProfile.from_file(file), channels=file.node_lists)
    options = {"passphrase": "for playing", "network": profile, "reach": settings.parse(Path(way).read_bytes())}
    path = Path(account)
    made = Client.open(path, **options) if path.exists() else Client.create(path, **options, cost=KeyCost(1, 13))
    asyncio.run(correspond(made, recipient))


main(*sys.argv[1:])
