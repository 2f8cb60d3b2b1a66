"""What can go wrong with an onion request, and what follows from it, as a table.

Pure: bytes and status codes become a `Failure`; `TABLE` says what each failure costs whom.  Nothing here
knows a path or a pool; `routing` applies the table.  Spec: bootstrap-and-paths.md §2.5, onion.md §6.

Theory of operation.  Only the destination can make a reply that decrypts.  Whatever comes in clear text comes
from some hop, unauthenticated, so it is believed only as far as believing it costs little: a hop may name the
next node as missing (the name must be on the path, which `routing` checks), everything else counts against
the whole path.  What the destination says, inside the encryption, never counts against the path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ramson.protocol.storage import Result


class Failure(StrEnum):
    """Every way an onion request can fail, by where the failure was seen."""

    GUARD_UNREACHABLE = "the first node could not be reached"
    PATH_TIMEOUT = "no reply came through the path in time"
    OVERTAKEN = "another path brought the answer while this one was silent"
    TEST_UNANSWERED = "no reply came to a test of the path"
    NEXT_NODE_MISSING = "a node of the path does not know the next one"
    GUARD_ERROR = "a node of the path answered with an error"
    UNREADABLE = "the reply could not be decrypted or made no sense"
    WRONG_SWARM = "the node does not keep this mailbox"
    UNAUTHORISED = "the node did not accept the signature"
    CLOCK = "the node says that the time of the request is wrong"
    OXEN_SERVER_ERROR = "the node reports an error of its own network"
    BAD_REQUEST = "the node did not understand the request"
    DESTINATION_ERROR = "the node could not do what was asked"
    SERVER_NOT_FOUND = "the server does not know the address asked for"
    SERVER_UNREACHABLE = "the server could not be reached from the network"


class Swarm(StrEnum):
    """What a failure says about the swarm that was believed to own the account."""

    KEEP = "keep"
    REPLACE = "replace"  # by the one the reply lists; without a list the node leaves the swarm


class Retry(StrEnum):
    """Who may be asked again."""

    NOBODY = "nobody"
    ANOTHER_WAY = "the same destination by another path"
    ANOTHER_MEMBER = "another member of the swarm"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What one kind of failure costs, and what is tried next."""

    retry: Retry
    drop_named: bool = False  # the node named in the reply leaves pool, swarms and paths; the path is patched
    blame_path: bool = False  # the path, and every node of it but the guard, has failed once more
    blame_destination: bool = False
    silence: bool = False  # nobody is blamed before the guard has been looked at directly
    swarm: Swarm = Swarm.KEEP
    clock: bool = False  # the offset to network time is to be measured again


TABLE: Mapping[Failure, Treatment] = {
    # spec gap: the spec counts every silence as a failure of path and nodes.  Then a minute without a connection costs
    # both guards, and each new guard is one more node that learns this client's address.  So a silence is a reason to
    # look at the guard: if it answers, something behind it was silent and is blamed; if it does not but other nodes
    # do, the path has failed; if nobody answers we are offline, and it is nobody's fault.
    Failure.GUARD_UNREACHABLE: Treatment(Retry.ANOTHER_WAY, silence=True),
    # spec gap: the destination is blamed too.  Otherwise a swarm member that is down, or that wants a client to change
    # its guards, would cost a guard after every three requests and would itself never be given up.
    Failure.PATH_TIMEOUT: Treatment(Retry.ANOTHER_WAY, silence=True, blame_path=True, blame_destination=True),
    # Here the silence can only be the path's: the destination answered by another, or was one of many that were asked.
    Failure.OVERTAKEN: Treatment(Retry.NOBODY, silence=True, blame_path=True),
    Failure.TEST_UNANSWERED: Treatment(Retry.NOBODY, silence=True, blame_path=True),
    Failure.UNREADABLE: Treatment(Retry.ANOTHER_WAY, blame_path=True, blame_destination=True),
    Failure.NEXT_NODE_MISSING: Treatment(Retry.ANOTHER_WAY, drop_named=True),
    Failure.GUARD_ERROR: Treatment(Retry.ANOTHER_WAY, blame_path=True),
    Failure.WRONG_SWARM: Treatment(Retry.ANOTHER_MEMBER, swarm=Swarm.REPLACE),
    Failure.UNAUTHORISED: Treatment(Retry.NOBODY),
    Failure.CLOCK: Treatment(Retry.NOBODY, clock=True),
    Failure.OXEN_SERVER_ERROR: Treatment(Retry.NOBODY),
    Failure.BAD_REQUEST: Treatment(Retry.NOBODY),
    Failure.DESTINATION_ERROR: Treatment(Retry.ANOTHER_MEMBER, blame_destination=True),
    Failure.SERVER_NOT_FOUND: Treatment(Retry.NOBODY),
    Failure.SERVER_UNREACHABLE: Treatment(Retry.ANOTHER_WAY),
}

PATH_FAILURES = 3  # a path that failed so often is renewed behind its guard, or dropped and its guard with it
# spec gap: the spec drops the guard with the path.  Then a silent node behind a guard, dead or hostile, makes the
# client show its address to a new guard, and again until it has one of the attacker's.  So a guard that answers is
# kept, but not for ever: by failing it could go on drawing nodes until the two behind it are its friends.
RENEWALS = 2  # of one path, from one node list to the next
NODE_FAILURES = 3  # a node that failed so often leaves pool, swarms and paths
# spec gap: nothing bounds how often one guard may name the next node as missing; a lying guard could walk the
# path to nodes of its choice.  So many patches without a reply in between count as a failed path.
PATCHES = 3

_NEXT_NODE = re.compile(rb"(?:502 Bad Gateway\s*)?Next node not found: ([0-9a-fA-F]{64})", re.ASCII)
_OXEN_SERVER_ERROR = "Oxen Server error"
_BAD_GATEWAY = b"502 Bad Gateway"
_SHOWN = 512  # bytes of a stranger's reply that are looked at


@dataclass(frozen=True, slots=True)
class HopError:
    """A clear-text error from the path: its kind, and the Ed25519 key of the node it names, if it names one."""

    failure: Failure
    named: bytes | None = None


def of_hop(status: int, body: bytes, *, to_server: bool) -> HopError | None:
    """Classify what the guard answered; None for 200.

    `to_server` tells whether the request was for a server outside: then a plain 502 is the last hop's word
    that the server did not answer.
    """
    if status == 200:
        return None
    head = body[:_SHOWN]
    if named := _NEXT_NODE.match(head):
        return HopError(Failure.NEXT_NODE_MISSING, bytes.fromhex(named[1].decode("ascii")))
    if to_server and (status == 502 or _BAD_GATEWAY in head):
        return HopError(Failure.SERVER_UNREACHABLE)
    if to_server and status == 404:
        return HopError(Failure.SERVER_NOT_FOUND)
    return HopError(Failure.GUARD_ERROR)


def of_node(result: Result) -> Failure | None:
    """Classify what a storage node answered, to a whole request or to one of a batch; None for success."""
    text = result.body if isinstance(result.body, str) else ""
    if text.startswith(_OXEN_SERVER_ERROR):
        return Failure.OXEN_SERVER_ERROR
    if 200 <= result.code < 300:
        return None
    if result.code == 401 and "timestamp" in text:  # two methods refuse a time so
        return Failure.CLOCK
    return _NODE_STATUS.get(result.code, Failure.DESTINATION_ERROR)


_NODE_STATUS = {
    400: Failure.BAD_REQUEST,
    401: Failure.UNAUTHORISED,
    406: Failure.CLOCK,
    421: Failure.WRONG_SWARM,
    425: Failure.CLOCK,
}
