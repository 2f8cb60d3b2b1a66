"""ramson: the Session messenger and the network under it.

    from ramson import Client

    async with Client.open("me.ramson", passphrase="…") as me:
        receipt = await me.send("05…", "hello")
        async for message in me.messages():
            await message.reply("hi")

What is listed in `__all__` is imported when it is first asked for, so that a service node does not load a client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ramson._version import __version__

if TYPE_CHECKING:
    from ramson.bot import BadArguments, Bot, Rate, Router, filters
    from ramson.crypto.account import AccountId
    from ramson.errors import LocalError, ParseError, RamsonError, RemoteError
    from ramson.messenger import Client, Message, Receipt, State
    from ramson.network import MAINNET, TESTNET, Light, NetworkProfile, PathStatus

__all__ = [
    "MAINNET",
    "TESTNET",
    "AccountId",
    "BadArguments",
    "Bot",
    "Client",
    "Light",
    "LocalError",
    "Message",
    "NetworkProfile",
    "ParseError",
    "PathStatus",
    "RamsonError",
    "Rate",
    "Receipt",
    "RemoteError",
    "Router",
    "State",
    "__version__",
    "filters",
]

_HOMES = {
    "ramson.bot": ("BadArguments", "Bot", "Rate", "Router", "filters"),
    "ramson.crypto.account": ("AccountId",),
    "ramson.errors": ("LocalError", "ParseError", "RamsonError", "RemoteError"),
    "ramson.messenger": ("Client", "Message", "Receipt", "State"),
    "ramson.network": ("MAINNET", "TESTNET", "Light", "NetworkProfile", "PathStatus"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'ramson' has no attribute {name!r}")
