"""Several messages of one config become one.

A pure function; the order in which messages come does not matter.  Spec: config-sync.md §4.2, Merge.

Theory of operation.  A message that another one includes, or that is too old for the newest one's memory, is
dropped.  If one is left it is *adopted* as it is.  Otherwise devices wrote at the same time, and what they
wrote is combined: from the data of the highest message (seqno, then hash), all the changes that any of them
remembers are made again in the order of (seqno, hash), so that for each key the last one counts.  Every
device that sees the same messages comes to the same result, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ramson.protocol import bt
from ramson.protocol.config.diff import Diff, apply
from ramson.protocol.config.message import LAG, ConfigMessage, Id, Lagged, Unknown
from ramson.protocol.config.values import Data


@dataclass(frozen=True, slots=True)
class Adopted:
    """One message stands for all of them: the one at this position (the first, if it came twice)."""

    position: int


@dataclass(frozen=True, slots=True)
class Combined:
    """What a new message, not yet written, has to say."""

    seqno: int
    data: Data = field(repr=False)
    lagged: Lagged = field(repr=False)
    unknown: Unknown = field(repr=False)


def survivors(messages: Sequence[ConfigMessage], lag: int = LAG) -> list[ConfigMessage]:
    """Return those of at least one message that no other one makes superfluous, each once, highest first."""
    included: set[Id] = set()
    for message in messages:
        included |= message.lagged.keys()
    oldest = max(message.seqno for message in messages) - lag
    distinct = {message.id: message for message in messages}
    return [distinct[name] for name in sorted(distinct, reverse=True) if name not in included and name[0] > oldest]


def merge(messages: Sequence[ConfigMessage], lag: int = LAG) -> Adopted | Combined:
    """Return what becomes of at least one message."""
    branches = survivors(messages, lag)
    highest = branches[0]
    if len(branches) == 1:
        return Adopted(next(at for at, message in enumerate(messages) if message.id == highest.id))
    # A change that several branches remember is taken from the highest: its data is the newest.
    changes: dict[Id, tuple[Diff, Data]] = {}
    unknown: dict[bytes, bt.Value] = {}
    for branch in reversed(branches):
        changes.update({name: (diff, branch.data) for name, diff in branch.history().items()})
        unknown.update(branch.unknown)
    data = highest.data
    for name in sorted(changes):
        diff, source = changes[name]
        data = apply(data, diff, source)
    seqno = highest.seqno + 1
    return Combined(seqno, data, remembered({name: diff for name, (diff, _) in changes.items()}, seqno, lag), unknown)


def remembered(history: Lagged, seqno: int, lag: int = LAG) -> Lagged:
    """Return those diffs that a message with this seqno still names."""
    return {name: diff for name, diff in history.items() if seqno - lag < name[0] < seqno}
