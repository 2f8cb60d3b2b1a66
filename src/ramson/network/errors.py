"""What a caller of the network has to know when it did not work, each with a remedy."""

from __future__ import annotations

from ramson.errors import LocalError, RemoteError
from ramson.network.failures import Failure


class NetworkError(RemoteError):
    """The network did not do what was asked of it."""


class NoSeeds(NetworkError):
    """No seed node gave a list of service nodes, and there is no other list to start from."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            remedy="Check the connection; if other sites work, this network may block Session:"
            " try another network, a VPN or a bridge, or take a list of nodes from somebody who is connected"
            " (ramson nodes import).",
        )


class ListsContradict(NetworkError):
    """There are lists of nodes, but at least one of them is wrong or a lie, and it cannot be told which."""

    def __init__(self) -> None:
        super().__init__(
            "The lists of nodes that can be had contradict each other or what is known: at least one is wrong or a lie",
            remedy="Take a newer list from somebody you trust (ramson nodes import), or forget the one you took"
            " (ramson nodes forget).",
        )


class NoPath(NetworkError):
    """There is no path through the network right now; one is being looked for."""

    def __init__(self, message: str) -> None:
        super().__init__(message, remedy="Wait a moment; if it stays so, try another network, a VPN or a bridge.")


class Closed(NetworkError):
    """The network was closed while it was asked something."""

    def __init__(self) -> None:
        super().__init__("the network was closed", remedy="Ask again when it is open.")


class RequestFailed(NetworkError):
    """An onion request failed; `failure` says how, `status` is the peer's code if it gave one."""

    def __init__(self, failure: Failure, message: str = "", *, status: int = 0, remedy: str = "") -> None:
        super().__init__(message or failure.value, remedy=remedy or "Try again.")
        self.failure = failure
        self.status = status


class ClockSkew(RequestFailed):
    """Nodes refuse the time of our requests."""

    def __init__(self, *, status: int = 406) -> None:
        super().__init__(
            Failure.CLOCK,
            status=status,
            remedy="Set the date, time and time zone of this device right (automatic time is best) and try again.",
        )


class NotAuthorised(RequestFailed):
    """A node did not accept the signature of a request."""

    def __init__(self, message: str = "") -> None:
        super().__init__(Failure.UNAUTHORISED, message, status=401, remedy="Check that this account may do this.")


class SwarmUnavailable(NetworkError):
    """No member of the swarm that keeps a mailbox could be found, or none did what was asked."""

    def __init__(self, message: str) -> None:
        super().__init__(message, remedy="Try again in a minute; the nodes that keep this mailbox may be changing.")


class TooManyRequests(LocalError):
    """A batch holds more requests than a node takes."""


class NotRunning(LocalError):
    """The network is used outside `async with`."""
