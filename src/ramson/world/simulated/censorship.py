"""What somebody on the way out of a simulated host sees and may do: the hook for models of censors.

Theory of operation.  A *flow* is one connection as it is seen on the first leg, where it leaves the host.  The
censor is asked when a name is looked up, when a flow opens, when its TLS hello passes, and whenever bytes pass in
either direction; it answers with a verdict.  A dropped packet means silence until the caller's time limit, a
reset one an error a delay later.  What goes on behind a proxy or a bridge is not shown to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ramson.world.http import Endpoint


class Verdict(StrEnum):
    """What happens to the packets in question."""

    PASS = "pass"  # noqa: S105 - no password
    DROP = "drop"
    RESET = "reset"


@dataclass(slots=True, eq=False)
class Flow:
    """One connection.

    `origin` is the host's address and `target` where its packets go: the server, or the proxy or the far end of the
    transport before it.  `server_name` is what the TLS hello names; of a `split` hello a filter that looks at
    single packets or records cannot read it, and neither `tls` nor the name are seen inside a proxy or a transport,
    whose way of speaking `spoken` is (`tls`, `http`, `socks5`, `http-proxy`, or the transport's method).  `sent` and
    `received` count bytes so far.
    """

    origin: str
    target: Endpoint
    spoken: str
    server_name: str = ""
    split: bool = False
    hello: bool = False
    sent: int = 0
    received: int = 0


class Censor(Protocol):
    """Somebody who can look at and stop what leaves the hosts; see `Simulation.censor`."""

    def look_up(self, origin: str, name: str) -> str | None:
        """Return the address a look-up is answered with instead of the true one, or None to let it be.

        The empty text is the answer that there is no such name.
        """
        ...

    def judge(self, flow: Flow) -> Verdict:
        """Decide about a flow's packets at this moment: `hello` tells whether a TLS hello has passed."""
        ...
