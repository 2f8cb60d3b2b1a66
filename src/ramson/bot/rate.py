"""How often one person may be answered: a bucket for each conversation, emptied by its messages, filled by time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ramson.crypto.account import AccountId
from ramson.errors import LocalError


@dataclass(frozen=True, slots=True)
class Rate:
    """So many messages in so many seconds: all at once, or one by one.  Raises LocalError."""

    messages: int
    seconds: float

    def __post_init__(self) -> None:
        if self.messages < 1 or not 0 < self.seconds < float("inf"):
            raise LocalError("a rate without messages or time", remedy="As in Rate(30, 60): thirty in a minute.")


class Turns:
    """Who has had as many messages handled as a rate allows.  Moments are in seconds.

    Kept is, for each conversation, when its bucket will be full again; what is full is forgotten.
    """

    def __init__(self, rate: Rate | None) -> None:
        self._rate = rate
        self._full: dict[AccountId, float] = {}

    def take(self, conversation: AccountId, now: float) -> None:
        """Count a message."""
        if self._rate is not None:
            full = max(now, self._full.get(conversation, now))
            self._full[conversation] = full + self._rate.seconds / self._rate.messages

    def resting(self, now: float) -> Collection[AccountId]:
        """Return the conversations whose bucket is empty."""
        if self._rate is None:
            return ()
        for each in [each for each, full in self._full.items() if full <= now]:
            del self._full[each]
        most = self._rate.seconds * (1 - 1 / self._rate.messages)
        return [each for each, full in self._full.items() if full - now > most + 1e-6]
