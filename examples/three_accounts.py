"""Three accounts in one process that pass a word around.

    RAMSON_NETWORK=/tmp/net/network.json RAMSON_PASSPHRASE='for playing' python examples/three_accounts.py /tmp/three

Each client has a file, guards and paths of its own: nothing on the way tells that they belong together, but the address
they come from.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

from ramson import Client
from ramson.messenger import AccountFileMissing
from ramson.network import MAINNET, NetworkProfile
from ramson.protocol import network_file


async def pass_around(clients: list[Client], word: str) -> list[str]:
    """Let each client send what it hears to the next one; return what each heard, the first one last."""
    heard = []
    await clients[0].send(clients[1].account_id, word)
    for number in range(1, len(clients) + 1):
        client, following = clients[number % len(clients)], clients[(number + 1) % len(clients)]
        async with aclosing(client.messages()) as messages:
            message = await anext(messages)
        heard.append(f"{client.name} heard {message.body!r}")
        if client is not clients[0]:
            await client.send(following.account_id, message.body)
    return heard


def network() -> NetworkProfile:
    """Return the network that the environment names, or the public one."""
    path = os.environ.get("RAMSON_NETWORK")
    return NetworkProfile.from_file(network_file.parse(Path(path).read_bytes())) if path else MAINNET


async def main(directory: Path, profile: NetworkProfile, passphrase: str) -> None:
    """Open the three accounts, or make them, and print what they heard."""
    async with AsyncExitStack() as stack:
        clients = []
        for name in ("Alice", "Bob", "Carol"):
            path = directory / f"{name}.ramson"
            try:
                client = await stack.enter_async_context(Client.open(path, passphrase=passphrase, network=profile))
            except AccountFileMissing:
                new = Client.create(path, passphrase=passphrase, network=profile, name=name)
                client = await stack.enter_async_context(new)
            clients.append(client)
        for line in await pass_around(clients, "the owl flies at noon"):
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), network(), os.environ["RAMSON_PASSPHRASE"]))
