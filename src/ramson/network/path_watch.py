"""Tests suspect paths, so that a person's next message need not find out whether they work.

A test is an ordinary request that any node answers to anybody, sent by the path in question to a node drawn anew
each time: its hops see nothing they would not see in the course of any day.  One path's hops are never asked for by
the other, which would find the dead one sooner: then the other path's last hop, together with the node it asks for,
would know both paths for one client's.  What follows from a test is `routing`'s to say.

Theory of operation.  A path is suspect after a failure, and while a request by it has to wait for long.  If its guard
is in doubt, `guard_watch` looks at that first; then the path is tested here, one test after the other, until a reply
has come by it (of a test, late ones too, or of any other request) or until it has failed three times and its nodes
were replaced, and then the same with the new ones.  A request is silent for three seconds before that begins and each
test for four, and what requests do meanwhile counts once, so no path that brings its replies within ten seconds is
given up for being slow.  Spec: bootstrap-and-paths.md §2.5.
"""

from __future__ import annotations

import asyncio
import random

from ramson.network.attempts import Attempts, Errand, Opened
from ramson.network.paths import Path
from ramson.network.requests import NODE_TIMEOUT
from ramson.network.routing import Routing
from ramson.network.trace import PathTested, Trace
from ramson.protocol import onion, storage, strict_json

TEST_TIMEOUT = 4.0  # seconds, after which a test has failed, although a later reply still counts
PAUSE = (0.2, 1.0)  # seconds before each test, drawn anew: the rate, and no rhythm for an observer
_PAYLOAD = strict_json.encode({"jsonrpc": "2.0", **storage.to_json(storage.Batch(requests=(storage.Info(),)))})


class PathWatch:
    """Tests the suspect paths when woken, each until it is cleared, in doubt again, or gone."""

    def __init__(self, attempts: Attempts, routing: Routing, entropy: random.Random, trace: Trace) -> None:
        self._attempts = attempts
        self._routing = routing
        self._entropy = entropy
        self._trace = trace
        self._wanted = asyncio.Event()
        self._testing: set[bytes] = set()

    def wake(self) -> None:
        """Say that a path has become suspect."""
        self._wanted.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                for path in self._routing.suspects:
                    guard = path.guard.ed25519
                    if guard not in self._testing:
                        self._testing.add(guard)
                        group.create_task(self._watch(guard), name="path test")

    async def _watch(self, guard: bytes) -> None:
        try:
            while self._suspect(guard):
                await asyncio.sleep(self._entropy.uniform(*PAUSE))
                path = self._suspect(guard)
                if path is not None:
                    await self._test(path)
        finally:
            self._testing.discard(guard)

    def _suspect(self, guard: bytes) -> Path | None:
        return next((path for path in self._routing.suspects if path.guard.ed25519 == guard), None)

    async def _test(self, path: Path) -> None:
        node = self._routing.test_destination(path)
        if node is None:
            return
        shown = f"{node.ip}:{node.https_port}"
        errand = Errand(
            onion.NodeHop(node.ed25519, node.x25519),
            _PAYLOAD,
            NODE_TIMEOUT,
            shown,
            (storage.Info.method.name,),
            test=True,
        )
        attempt = self._attempts.begin(path, errand, onion.open_node_reply)
        await asyncio.wait([attempt.task], timeout=TEST_TIMEOUT)
        if not attempt.task.done():
            self._attempts.unanswered(attempt)
            self._trace(PathTested(path, good=False))
            return
        good = not attempt.task.cancelled() and isinstance(attempt.task.result(), Opened)
        self._trace(PathTested(path, good))
        if not good:  # a guard that is busy for a moment must not use up its path's chances in that moment
            await asyncio.sleep(TEST_TIMEOUT)
