"""Which network to join: its seeds, how they prove themselves, and how varied a path has to be.

Constants and frozen values only.  Spec: bootstrap-and-paths.md §2.1, §2.2 *Minimum*, §2.3; files-and-push.md §7.2.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ramson import given_files
from ramson.errors import LocalError
from ramson.network.list_source import ListSource
from ramson.protocol import public_seeds
from ramson.protocol.file_server import OFFICIAL, FileServer
from ramson.protocol.network_file import NetworkFile, NodeState, Seed
from ramson.protocol.node_list import ListAuthority
from ramson.protocol.nodes import NodeRecord
from ramson.world import Endpoint, Tls

PUBLIC_MIN_POOL = 9  # the pool must exceed 2·(1+3)
PRIVATE_MIN_POOL = 4  # one path and a destination off it

_DEFAULT_PORT = {"https": 443, "http": 80}


class BadSeedUrl(LocalError):
    """The address of a seed cannot be used."""


@dataclass(frozen=True, slots=True)
class SeedUrl:
    """Where a seed answers JSON-RPC, and the SHA-256 digests of the public keys its certificate may have.

    An https seed without pins is believed with any certificate, which only a network on one machine can afford.
    """

    url: str
    pins: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            fine = parts.scheme in _DEFAULT_PORT and parts.hostname and parts.port != 0 and not parts.username
        except ValueError:
            fine = False
        if not fine:
            raise BadSeedUrl(f"not the URL of a seed: {self.url!r}", remedy="Write https://host:port/json_rpc.")

    @classmethod
    def of(cls, seed: Seed) -> SeedUrl:
        """Make a seed as a network's description names it."""
        return cls(seed.url, frozenset([seed.pin] if seed.pin else []))

    @property
    def endpoint(self) -> Endpoint:
        """Host and port."""
        parts = urlsplit(self.url)
        return Endpoint(parts.hostname or "", parts.port or _DEFAULT_PORT[parts.scheme])

    @property
    def target(self) -> str:
        """The path to POST to."""
        return urlsplit(self.url).path or "/json_rpc"

    @property
    def tls(self) -> Tls | None:
        """How its certificate is checked; None for plain http."""
        return Tls(pins=self.pins) if urlsplit(self.url).scheme == "https" else None


@dataclass(frozen=True, slots=True)
class NetworkProfile:
    """One network as a client has to know it.

    `diversity` is the IPv4 prefix length within which the hops of a path must differ (None: no rule), `min_pool` the
    number of nodes and of subnets below which no path is built.  `bundled` nodes are used when no seed answers.
    `file_server` is where this network's clients put files, and what URLs that name no server's key mean.
    `signers` are who speaks for the network in signed node lists, `lists` the channels that may bring one.
    """

    name: str
    seeds: tuple[SeedUrl, ...]
    testnet: bool = False
    diversity: int | None = 24
    min_pool: int = PUBLIC_MIN_POOL
    bundled: tuple[NodeRecord, ...] = ()
    file_server: FileServer | None = None
    signers: ListAuthority | None = None
    lists: tuple[ListSource, ...] = ()

    @property
    def authority(self) -> ListAuthority:
        """Who is believed about this network's nodes; nobody, if no signers are known."""
        return self.signers or ListAuthority(f"private-{self.fingerprint[:16]}")

    @property
    def fingerprint(self) -> str:
        """A name for what is cached from this network, so that no other network's cache is taken for it."""
        lines: Iterable[str] = (f"{seed.url} {','.join(sorted(pin.hex() for pin in seed.pins))}" for seed in self.seeds)
        nodes = (node.ed25519.hex() for node in self.bundled)
        text = "\n".join([str(self.testnet), *lines, *nodes])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def with_lists(self, lists: Sequence[ListSource]) -> NetworkProfile:
        """Return this network with more channels of node lists."""
        return replace(self, lists=(*self.lists, *lists))

    @classmethod
    def load(cls, name: str | os.PathLike[str]) -> NetworkProfile:
        """Return the public network of this name, mainnet or testnet, or that of a network.json file.

        Raises LocalError if there is neither.
        """
        named = {profile.name: profile for profile in (MAINNET, TESTNET)}
        if isinstance(name, str) and name in named:
            return named[name]
        return cls.from_file(given_files.read_network(name))

    @classmethod
    def from_file(cls, file: NetworkFile, *, name: str = "private") -> NetworkProfile:
        """Describe a network of one's own.

        With seeds in the file the nodes come from them, as on the public network; without, the file's own active
        nodes are the list.  A `diversity` of 0 switches the rule off, for nodes that share one address.
        """
        seeds = tuple(SeedUrl.of(seed) for seed in file.seeds)
        nodes = tuple(node.record for node in file.nodes if node.state is NodeState.ACTIVE)
        return cls(
            name=name,
            seeds=seeds,
            testnet=file.testnet,
            diversity=file.diversity or None,
            min_pool=PRIVATE_MIN_POOL,
            bundled=() if seeds else nodes,
            file_server=file.file_server,
            signers=file.node_lists.authority if file.node_lists else None,
        )


MAINNET = NetworkProfile(
    name="mainnet",
    seeds=tuple(SeedUrl.of(seed) for seed in public_seeds.MAINNET),
    file_server=OFFICIAL,
    signers=ListAuthority("mainnet"),  # nobody yet: docs/node-lists.md says what that means
)
"""The public network."""
TESTNET = NetworkProfile(
    name="testnet",
    seeds=tuple(SeedUrl.of(seed) for seed in public_seeds.TESTNET),
    testnet=True,
    signers=ListAuthority("testnet"),
    file_server=OFFICIAL,  # spec gap: no other is known, and the test network's nodes reach it as well
)
"""The public network for tests, with accounts and nodes of its own."""
