"""How many files and sockets this process may have open."""

from __future__ import annotations

ENOUGH = 65_536  # what a service asks for; more only makes a flood more expensive
SHARE = 0.7  # what one listener may take of them: databases, files and other sockets need theirs


def allowed(wanted: int, share: float = SHARE) -> int:
    """Return how many sockets of `wanted` may be open at a time, as a share of what the process may have."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return wanted
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if limit == resource.RLIM_INFINITY else max(1, min(wanted, int(limit * share)))


def ask_for_more() -> None:
    """Raise what this process may have open to ENOUGH, as far as the system lets it without being asked by root."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
