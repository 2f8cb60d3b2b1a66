"""What a node asks of whoever knows the network: the node list, its changes, and two calls of the daemon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ramson.errors import RemoteError
from ramson.protocol.nodes import NodeList


class RegistryError(RemoteError):
    """The registry refused a call; the message is its own text, fit to be passed on to a client."""


class Registry(Protocol):
    """The node list and what lies behind it (oxend-interface.md §4)."""

    def current(self) -> NodeList:
        """Return the newest list."""
        ...

    async def wait_change(self, after: NodeList) -> NodeList:
        """Return the newest list as soon as it differs from `after`."""
        ...

    async def call(self, endpoint: str, params: Mapping[str, Any]) -> Any:
        """Call `get_service_nodes` or `ons_resolve`; the reply is JSON as Python values.

        Raises RegistryError with the daemon's text.
        """
        ...
