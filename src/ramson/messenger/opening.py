"""From an open account file to a client that works: the network, the parts, and the tasks that keep them going.

Everything is entered on the stack of whoever opens, in the order in which it has to end backwards: the tasks first, the
file last.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from ramson.errors import LocalError
from ramson.messenger import vault
from ramson.messenger.attachments import Attachments
from ramson.messenger.avatars import Avatars
from ramson.messenger.engine import Engine
from ramson.messenger.files import Files
from ramson.messenger.inbox import NAMESPACES
from ramson.messenger.message import Answers
from ramson.messenger.running import StoreCache, Tasks, hurry
from ramson.messenger.store import Store
from ramson.network import Network, NetworkProfile, Subscriptions, Trace
from ramson.network.entry import Entry
from ramson.reach import ReachSettings, bridge_lists, open_entry
from ramson.world import World


@dataclass(slots=True)
class Parts:
    """What an open client consists of."""

    engine: Engine
    network: Network
    world: World
    tasks: Tasks
    subscriptions: Subscriptions | None = None
    deleted: bool = False


class SubscriptionRefused(LocalError):
    """A client is to be told of messages by nodes, past the proxy or bridge it is to use."""

    def __init__(self) -> None:
        super().__init__(
            "subscriptions connect straight to nodes, past the proxies, bridges or route that this client is to use",
            remedy="Leave subscriptions out; or, if your address is no secret, let the route be direct.",
        )


def check_straight(reach: ReachSettings, profile: NetworkProfile) -> None:
    """Look whether nodes may be connected to, which shows them our address.  Raises SubscriptionRefused."""
    if not reach.for_network(profile.name).straight:
        raise SubscriptionRefused


async def connected(
    stack: AsyncExitStack,
    world: World,
    store: Store,
    path: Path,
    profile: NetworkProfile,
    *,
    answers: Answers,
    receive: bool,
    connect: bool,
    subscribe: bool,
    reach: ReachSettings,
    trace: Trace,
) -> Parts:
    """Put an account file to work; without `connect` only what needs no network.

    With `subscribe` nodes tell of messages at once: see `check_straight` first.
    """
    stack.push_async_callback(asyncio.sleep, 0)  # what the network saved last is written by the loop
    cache, server = StoreCache(store, profile), profile.file_server
    entry: Entry | None = None
    if connect:
        state = vault.transports_directory(path)
        ways, reach = StoreCache(store, profile, "ways out"), reach.for_network(profile.name)
        entry = await stack.enter_async_context(open_entry(world, reach, state, ways))
        profile = profile.with_lists(bridge_lists(world, reach))
    network = Network(world, profile, cache, entry=entry, policy=reach.hops, pinned=reach.path, trace=trace)
    if connect:
        await stack.enter_async_context(network)
    files = None if server is None else await stack.enter_async_context(Files(network, world, server))
    attachments = Attachments(store, world, files, network.now)
    stack.push_async_callback(attachments.close)
    avatars = None if files is None else Avatars(files.transfers, world)
    engine = Engine(store, network, world.entropy, answers, attachments=attachments, avatars=avatars)
    stack.callback(engine.board.close)
    tasks = await stack.enter_async_context(Tasks())
    if connect:
        for work, name in engine.work(receive=receive):
            tasks.start(work, name)
        tasks.start(hurry(network, engine.outbox, engine.uploads), "path watch")
    else:
        engine.upkeep.expire()
    subscriptions = None
    if subscribe and receive and entry is not None:
        subscriptions = Subscriptions(
            world,
            entry,
            network,
            store.keys,
            NAMESPACES,
            told=engine.inbox.told,
            changed=engine.told,
            policy=reach.hops,
        )
        tasks.start(subscriptions.run(), "subscriptions")
    return Parts(engine, network, world, tasks, subscriptions)
