"""Whole networks in virtual time: the real nodes, seeds and clients in a simulated world."""

from ramson.sim.network import SimulatedNetwork

__all__ = ["SimulatedNetwork"]
