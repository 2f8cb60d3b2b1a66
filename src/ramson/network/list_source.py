"""Somewhere that signed node lists come from, as the directory sees it.  The channels are in `ramson.reach`."""

from __future__ import annotations

from typing import Protocol

from ramson.network.entry import Entry


class ListSource(Protocol):
    """One channel: it brings bytes, and what they are worth is decided elsewhere (`judge`)."""

    @property
    def name(self) -> str:
        """What it is called in the trace, and as a voice: two sources that one person controls have one name."""
        ...

    @property
    def local(self) -> bool:
        """Whether nobody is asked for it.  The others are asked only when seeds are silent or alone."""
        ...

    async def fetch(self, entry: Entry) -> bytes:
        """Return a list as it travels (`protocol.node_list`); what goes out, goes out by `entry`.

        Raises RamsonError when there is none.
        """
        ...
