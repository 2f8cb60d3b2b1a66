"""How the client gets out: the one place through which everything it sends passes.

Paths hand their onion requests to an `Entry`, and node lists come through it; nothing else in the client asks the
world for anything.  `DirectEntry` goes straight; those of `ramson.reach` go by a route that gets through where the
straight way is blocked.  A guard sees this client's address, so nothing that tells who the client is may be in what
it can read.  Spec: bootstrap-and-paths.md §2.3 *Guard test*, §2.4, REACH.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ramson.network import guard_test
from ramson.protocol.nodes import NodeRecord
from ramson.world import Endpoint, HttpRequest, HttpResponse, Net, NetError, Stage, Tls

ONION_TARGET = "/onion_req/v2"
SHORT = {"Connection": "close"}
ANY_CERTIFICATE = Tls()  # who the node is, the onion layer proves


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person should know of the way out: the name of the `way` in use, empty if none or not known.

    `text` is a plain sentence, empty if there is nothing to say; `lost` where there is no way out at present.
    """

    text: str = ""
    lost: bool = False
    way: str = ""


class Entry(Protocol):
    """Carries sealed requests to the first node of a path, and other requests to whoever gives node lists."""

    async def send(self, guard: NodeRecord, sealed: bytes, *, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - Net's
        """Bring an onion request to a guard and return its reply, whatever its status.  Raises NetError."""
        ...

    async def test(self, node: NodeRecord) -> bool:
        """Ask a node something that only it can answer, to learn whether it can be a guard."""
        ...

    async def fetch(
        self,
        endpoint: Endpoint,
        request: HttpRequest,
        *,
        tls: Tls | None,
        timeout: float,  # noqa: ASYNC109 - Net's
    ) -> HttpResponse:
        """Make an ordinary request to a seed or a mirror.

        Raises NetError; CannotFetch where the present way out carries onion requests only.
        """
        ...

    @property
    def notice(self) -> Notice:
        """What a person should know about the way out now."""
        ...

    @property
    def straight(self) -> bool:
        """Whether requests go from this device itself to guards now, past no proxy or bridge; false without a way out.

        Only then may anything else be done that shows its address.
        """
        ...

    def watch(self, changed: Callable[[], None], told: Callable[[], None]) -> None:
        """Have `changed` called when the way out has become another, so that paths are looked at anew.

        `told` is called when there is another notice.
        """
        ...


class DirectEntry:
    """Goes straight to guards and seeds."""

    def __init__(self, net: Net, entropy: random.Random) -> None:
        self._net = net
        self._entropy = entropy

    async def send(self, guard: NodeRecord, sealed: bytes, *, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - Net's
        """See Entry."""
        return await post_onion(self._net, guard, sealed, timeout=timeout)

    async def test(self, node: NodeRecord) -> bool:
        """See Entry."""
        return await guard_test.run(node, self.send, self._entropy)

    async def fetch(
        self,
        endpoint: Endpoint,
        request: HttpRequest,
        *,
        tls: Tls | None,
        timeout: float,  # noqa: ASYNC109 - Net's
    ) -> HttpResponse:
        """See Entry."""
        return await self._net.request(endpoint, request, tls=tls, timeout=timeout)

    @property
    def notice(self) -> Notice:
        """See Entry: nothing is to be said of the straight way."""
        return Notice(way="the straight way")

    @property
    def straight(self) -> bool:
        """See Entry: always."""
        return True

    def watch(self, changed: Callable[[], None], told: Callable[[], None]) -> None:
        """See Entry: the straight way stays what it is."""


async def post_onion(
    net: Net,
    guard: NodeRecord,
    sealed: bytes,
    *,
    timeout: float,  # noqa: ASYNC109 - Net's
    keep: bool = True,
) -> HttpResponse:
    """POST an onion request to the guard itself, on a connection to keep for others or not.  Raises NetError."""
    return await net.request(
        Endpoint(guard.ip, guard.https_port),
        HttpRequest("POST", ONION_TARGET, {} if keep else SHORT, sealed),
        tls=ANY_CERTIFICATE,
        timeout=timeout,
    )


class CannotFetch(NetError):
    """The present way out carries onion requests and nothing else."""

    def __init__(self) -> None:
        super().__init__(Stage.CONNECT, "this way out carries onion requests only")
