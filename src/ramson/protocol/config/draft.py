"""A config being changed: what the next message will say.

Frozen values: a change makes a new draft.  Spec: config-sync.md §4.2, §4.4.

Theory of operation.  The first edit after a message was pushed or adopted opens a draft with the next seqno;
further edits go into the same draft.  Merging concurrent messages opens one too.  A draft remembers its
*origin*, the data it began with, so that the diff names exactly what was changed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from ramson.crypto.keys import Ed25519KeyPair
from ramson.protocol.config.diff import Diff, difference, overlay
from ramson.protocol.config.merging import Combined, remembered
from ramson.protocol.config.message import ConfigMessage, Lagged, Unknown, write
from ramson.protocol.config.values import EMPTY, Data, Path, Value
from ramson.protocol.config.values import replace as replace_value

# Changes made here and the data their scalars are in, oldest first.
Edits: TypeAlias = "tuple[tuple[Diff, Data], ...]"

NO_EDITS: Final[Edits] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """The next message, unfinished."""

    seqno: int
    data: Data = field(repr=False)
    origin: Data = field(repr=False)
    lagged: Lagged = field(repr=False)
    unknown: Unknown = field(repr=False)
    earlier: Edits = field(default=NO_EDITS, repr=False)  # made here too, and in nothing that was pushed
    reloaded: ConfigMessage | None = None  # what a draft was dumped as, while nothing was edited since
    restates: bool = False  # whether the diff names all the data, as after a merge that began without a draft

    @classmethod
    def after(cls, message: ConfigMessage) -> Draft:
        """Open a draft that follows a message."""
        seqno = message.seqno + 1
        return cls(seqno, message.data, message.data, remembered(message.history(), seqno), message.unknown)

    @classmethod
    def reload(cls, message: ConfigMessage) -> Draft:
        """Open again a draft that was dumped as `message`.

        It takes the seqno after that, and the dumped message counts as one that went before: so other clients
        do it, and so two devices restored from one dump cannot write different things under one name.
        """
        return replace(cls.after(message), earlier=((message.diff, message.data),), reloaded=message)

    @classmethod
    def combining(cls, combined: Combined, *, earlier: Edits, restates: bool) -> Draft:
        """Open a draft with what concurrent messages came to."""
        return cls(
            combined.seqno,
            combined.data,
            combined.data,
            combined.lagged,
            combined.unknown,
            earlier=earlier,
            restates=restates,
        )

    @property
    def edits(self) -> Edits:
        """All changes made here that no pushed message has."""
        return (*self.earlier, (difference(self.origin, self.data), self.data))

    def with_data(self, data: Data) -> Draft:
        """Return the draft with other data."""
        return replace(self, data=data, reloaded=None)

    def edited(self, path: Path, changes: Mapping[bytes, Value | None]) -> Draft:
        """Return the draft with keys of the dict at `path` assigned or, where the value is None, removed."""
        data = replace_value(self.data, path, changes)
        return self if data is self.data else self.with_data(data)

    def message(self, signer: Ed25519KeyPair | None) -> ConfigMessage:
        """Finish the message."""
        diff = difference(self.origin, self.data)
        if self.restates:
            diff = overlay(difference(EMPTY, self.data), diff)
        return write(self.seqno, self.data, diff, self.lagged, unknown=self.unknown, signer=signer)
