"""A whole network of processes and sockets on one machine."""

from ramson.devnet.devnet import Devnet
from ramson.devnet.processes import DevnetError

__all__ = ["Devnet", "DevnetError"]
