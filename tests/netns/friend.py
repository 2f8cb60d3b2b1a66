"""A person abroad, who says back what is written: `python friend.py ACCOUNT NETWORK`.  Prints the account's id."""

import asyncio
import sys
from collections import Counter
from pathlib import Path

from ramson.messenger import Client, KeyCost
from ramson.network import NetworkProfile
from ramson.protocol import network_file


async def serve(client: Client) -> None:
    """Serve until ended; a message that comes twice is said back otherwise, which the other side would wait for."""
    seen: Counter[str] = Counter()
    async with client as me:
        print(me.account_id, "ready", flush=True)
        async for message in me.messages():
            seen[message.body] += 1
            await message.reply(f"you said {message.body}" if seen[message.body] == 1 else f"again {message.body}")


def main(account: str, network: str) -> None:
    """Make the account and serve."""
    profile = NetworkProfile.from_file(network_file.parse(Path(network).read_bytes()))
    made = Client.create(Path(account), passphrase="for playing", network=profile, cost=KeyCost(1, 13))
    asyncio.run(serve(made))


main(*sys.argv[1:])
