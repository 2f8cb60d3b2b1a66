"""Who is in the network: the node list of a network, where it comes from, and the seed that hands it out."""

from ramson.registry.file import FileRegistry
from ramson.registry.registry import Registry, RegistryError
from ramson.registry.seed import SeedService

__all__ = ["FileRegistry", "Registry", "RegistryError", "SeedService"]
