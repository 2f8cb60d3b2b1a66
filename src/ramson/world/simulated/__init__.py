"""A world in virtual time: one event loop, an in-memory network, one seed.

See `simulation` for how it works and docs/simulation.md for what is modelled and what is not.
"""

from ramson.world.simulated.files import SimulatedFiles
from ramson.world.simulated.host import Host, HostDown
from ramson.world.simulated.loop import Deadlock, OutsideSimulation, TimeLimit
from ramson.world.simulated.model import CALM, ROUGH, Model
from ramson.world.simulated.simulation import HostFailed, Simulation, UnhandledError

__all__ = [
    "CALM",
    "ROUGH",
    "Deadlock",
    "Host",
    "HostDown",
    "HostFailed",
    "Model",
    "OutsideSimulation",
    "SimulatedFiles",
    "Simulation",
    "TimeLimit",
    "UnhandledError",
]
