"""Who is in the network: the node list of a network, where it comes from, and the seed that hands it out."""

from ramson.registry.file import FileRegistry
from ramson.registry.oxend import Health, OxendRegistry
from ramson.registry.oxend_connect import MAINNET_SEEDS, TESTNET_SEEDS, fetch_secrets
from ramson.registry.oxend_rpc import Announcement, NodeSecrets
from ramson.registry.registry import Registry, RegistryError
from ramson.registry.seed import SeedService

__all__ = [
    "MAINNET_SEEDS",
    "TESTNET_SEEDS",
    "Announcement",
    "FileRegistry",
    "Health",
    "NodeSecrets",
    "OxendRegistry",
    "Registry",
    "RegistryError",
    "SeedService",
    "fetch_secrets",
]
