"""Namespaces of an account's mailbox and the rules that follow from their numbers alone.

Spec: storage-rpc.md §3 *Namespaces* and §4 *store*, groups-v2.md §5.1.  Any 16-bit number is a namespace;
`Namespace` names the ones that clients use.
"""

from __future__ import annotations

from enum import IntEnum

DAY_MS = 24 * 60 * 60 * 1000

MIN_NAMESPACE = -(2**15)
MAX_NAMESPACE = 2**15 - 1


class Namespace(IntEnum):
    """What clients keep where."""

    DIRECT = 0
    USER_PROFILE = 2
    CONTACTS = 3
    CONVO_INFO_VOLATILE = 4
    USER_GROUPS = 5
    LEGACY_GROUP = -10
    GROUP_MESSAGES = 11
    GROUP_KEYS = 12
    GROUP_INFO = 13
    GROUP_MEMBERS = 14
    REVOKED_RETRIEVABLE = -11


def anyone_may_store(namespace: int) -> bool:
    """Tell whether a message may be stored without a signature (a signature that is given is ignored)."""
    return namespace % 10 == 0


def is_public_outbox(namespace: int) -> bool:
    """Tell whether this is one of −1, −21, −41, …: it keeps one message, which anyone may read."""
    return namespace < 0 and -namespace % 20 == 1


def anyone_may_read(namespace: int) -> bool:
    """Tell whether messages may be retrieved without a signature."""
    return namespace == Namespace.LEGACY_GROUP or is_public_outbox(namespace)


def revoked_may_read(namespace: int) -> bool:
    """Tell whether a revoked subaccount may still read: −11, −111, −211, …, where notices to it are left."""
    return namespace < 0 and -namespace % 100 == 11


def max_ttl_ms(namespace: int) -> int:
    """Return the longest lifetime of a message, in ms."""
    return (14 if anyone_may_store(namespace) else 30) * DAY_MS
