"""ramson: the Session messenger and the network under it."""

from ramson._version import __version__

__all__ = ["__version__"]
