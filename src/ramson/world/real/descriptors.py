"""How many files and sockets this process may have open."""

from __future__ import annotations

SHARE = 0.7  # what one listener may take of them: databases, files and other sockets need theirs


def allowed(wanted: int, share: float = SHARE) -> int:
    """Return how many sockets of `wanted` may be open at a time, as a share of what the process may have."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return wanted
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if limit == resource.RLIM_INFINITY else max(1, min(wanted, int(limit * share)))
