"""Rules that need to know more than the one message: pure decisions, made by whoever knows the rest.

Spec: messaging.md §3.4 (profile update, stale guard, reactions), config-sync.md §4.11.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

STALE_MS: Final = 2 * 60 * 1000
REACTIONS_PER_MINUTE: Final = 20
MINUTE_MS: Final = 60_000
TYPING_SHOWN_MS: Final = 15_000
TYPING_LIFETIME_MS: Final = 20_000
DEFAULT_REACTIONS: Final = ("😂", "🥰", "😢", "😡", "😮", "😈")


def profile_counts(updated_s: int, known_updated_s: int, *, known: bool) -> bool:
    """Tell whether a profile that came with a message replaces the one that is `known`.

    Only a newer one does; one that does not say how old it is, only if there is none.
    """
    if updated_s:
        return updated_s > known_updated_s
    return not known


def is_stale(sent_ms: int, config_ms: int) -> bool:
    """Tell whether a message is too old to bring back somebody whom the config of `config_ms` does not name."""
    return sent_ms < config_ms - STALE_MS


def may_react(earlier_ms: Sequence[int], now_ms: int) -> bool:
    """Tell whether one more reaction is within the rate, after those of `earlier_ms`."""
    return sum(moment > now_ms - MINUTE_MS for moment in earlier_ms) < REACTIONS_PER_MINUTE
