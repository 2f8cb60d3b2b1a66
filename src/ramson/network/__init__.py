"""A client's way through the network: directory, paths, onion requests, swarms, mailbox operations.

`Network` is the way in; the rest of what is exported are the values it takes and gives.
"""

from ramson.network.cache import Cache, FileCache, MemoryCache
from ramson.network.errors import (
    ClockSkew,
    Closed,
    NetworkError,
    NoPath,
    NoSeeds,
    NotAuthorised,
    NotRunning,
    RequestFailed,
    SwarmUnavailable,
    TooManyRequests,
)
from ramson.network.failures import Failure
from ramson.network.mailbox import CannotStore, Item
from ramson.network.network import Network
from ramson.network.paths import Path
from ramson.network.profile import MAINNET, TESTNET, NetworkProfile, SeedUrl
from ramson.network.receipts import DeleteReceipt, ExpireReceipt, Polled, Retrieved, StoreReceipt
from ramson.network.status import Hop, Light, PathStatus, Place
from ramson.network.subscriptions import Subscriptions
from ramson.network.trace import Event, Trace

__all__ = [
    "MAINNET",
    "TESTNET",
    "Cache",
    "CannotStore",
    "ClockSkew",
    "Closed",
    "DeleteReceipt",
    "Event",
    "ExpireReceipt",
    "Failure",
    "FileCache",
    "Hop",
    "Item",
    "Light",
    "MemoryCache",
    "Network",
    "NetworkError",
    "NetworkProfile",
    "NoPath",
    "NoSeeds",
    "NotAuthorised",
    "NotRunning",
    "Path",
    "PathStatus",
    "Place",
    "Polled",
    "RequestFailed",
    "Retrieved",
    "SeedUrl",
    "StoreReceipt",
    "Subscriptions",
    "SwarmUnavailable",
    "TooManyRequests",
    "Trace",
]
