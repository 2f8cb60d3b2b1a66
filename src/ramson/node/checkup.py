"""What `ramson node check` looks at: everything about a node's place that would keep it from serving well.

Each check ends in one line: what was found, and when that is not well what to do.  Nothing is left behind: ports are
bound and let go again, and the one file that is written is removed.  A node that is running may be checked as well;
its ports are then asked whether it is this node that has them.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ramson.crypto.keys import Ed25519KeyPair, X25519KeyPair
from ramson.errors import LocalError, ParseError, RamsonError, RemoteError
from ramson.node import certificate
from ramson.node.config import NodeConfig
from ramson.node.http_routes import PING_PATH, RPC_PATH
from ramson.node.incoming_pings import SILENCE_SECONDS
from ramson.node.keys import KEY_FILE, NodeKeys
from ramson.node.metrics_server import STATUS_PATH
from ramson.node.node import MAILBOX_FILE
from ramson.node.private_files import NotPrivate, check_private
from ramson.node.process import figures
from ramson.protocol import strict_json
from ramson.protocol.key_text import parse_key
from ramson.protocol.nodes import NodeList, NodeRecord
from ramson.registry.oxend_rpc import Oxend
from ramson.world import (
    CannotListen,
    DaemonAddress,
    Endpoint,
    HttpLimits,
    HttpRequest,
    HttpResponse,
    NetError,
    PeerAddress,
    PeerRefused,
    PeerTimeout,
    QuicAnswer,
    QuicLimits,
    Tls,
    World,
)

MIB: Final = 1024 * 1024
REPLY_SECONDS: Final = 5.0
DAEMON_SECONDS: Final = 10.0
ASKED_PEERS: Final = 7
CLOCK_WELL_MS: Final = 2_000
CLOCK_BAD_MS: Final = 10_000  # from here on clients' messages are refused
FSYNC_WELL_MS: Final = 20.0
FSYNC_BAD_MS: Final = 500.0
LEAST_FREE: Final = 256 * MIB
SPARE_FILES: Final = 500

_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report: `found` says what is, `remedy` what to do about it."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


class Checkup:
    """The checks of the node that `config` describes.

    It is either beside the daemon at `oxend`, or the entry `listed` of the list `nodes`.
    """

    def __init__(
        self,
        world: World,
        config: NodeConfig,
        *,
        oxend: DaemonAddress | None = None,
        listed: NodeRecord | None = None,
        nodes: NodeList | None = None,
    ) -> None:
        self._world = world
        self._config = config
        self._oxend = oxend
        self._listed = listed
        self._nodes = nodes
        self._keys: NodeKeys | None = None
        self._running = False
        self._status: dict[str, Any] | None = None  # what the running node says, before it is pinged from here

    async def run(self) -> AsyncIterator[Check]:
        """Make all checks, one after the other."""
        self._status = await self._ask_status()
        yield self._data_directory()
        yield self._disk_space()
        yield await self._disk_speed()
        if self._oxend is not None:
            async for check in self._daemon(self._oxend):
                yield check
        else:
            yield self._own_keys()
        yield self._certificate()
        yield self._listing()
        yield await self._https_port()
        yield await self._omq_port()
        if self._config.quic:
            yield await self._quic_port()
        yield self._pinged()
        yield await self._clock()
        yield self._files()

    # ---- disk

    @property
    def _directory(self) -> Path:
        """The data directory, or the nearest that exists above it."""
        directory = self._config.data_dir
        while not directory.exists() and directory != directory.parent:
            directory = directory.parent
        return directory

    def _data_directory(self) -> Check:
        name, directory = "data directory", self._config.data_dir
        if not directory.exists():
            if os.access(self._directory, os.W_OK):
                return Check(name, Verdict.OK, f"{directory} will be made at the first start")
            return Check(
                name,
                Verdict.FAIL,
                f"{directory} is not there, and {self._directory} cannot be written",
                "make it, and give it to the user that the node runs as",
            )
        try:
            check_private(directory)
        except NotPrivate as error:
            return Check(name, Verdict.FAIL, str(error), error.remedy)
        if directory.stat().st_uid != os.geteuid():
            return Check(
                name, Verdict.WARN, f"{directory} belongs to another user", "make these checks as the node's own user"
            )
        if not os.access(directory, os.W_OK):
            return Check(name, Verdict.FAIL, f"{directory} cannot be written", "look at its owner and its file system")
        return Check(name, Verdict.OK, f"{directory} is private and can be written")

    def _disk_space(self) -> Check:
        name, free = "disk space", figures(self._directory).disk_free
        used = 0
        with suppress(OSError):
            used = (self._config.data_dir / MAILBOX_FILE).stat().st_size
        wanted = max(0, self._config.max_database_bytes - used)
        found = f"{free // MIB} MiB free, the database may grow by {wanted // MIB} MiB"
        if free < LEAST_FREE:
            return Check(name, Verdict.FAIL, found, "free space: a full disk loses messages for the whole swarm")
        if free < wanted:
            return Check(name, Verdict.WARN, found, "free space, or lower limits.database_mib")
        return Check(name, Verdict.OK, found)

    async def _disk_speed(self) -> Check:
        name, disk = "disk speed", self._world.disk()
        try:
            times = await disk.run(lambda: time_writes(self._directory, self._world.clock.monotonic))
        except OSError as error:
            return Check(
                name, Verdict.FAIL, f"writing failed: {error.strerror}", "look at the disk and its file system"
            )
        finally:
            await disk.close()
        middle = 1000 * statistics.median(times)
        found = (
            f"a write is on the disk after {middle:.1f} ms (the slowest of {len(times)}: {1000 * max(times):.0f} ms)"
        )
        if middle >= FSYNC_BAD_MS:
            return Check(name, Verdict.FAIL, found, "move the data to a quicker disk: every store waits for it")
        if middle >= FSYNC_WELL_MS:
            return Check(name, Verdict.WARN, found, "a solid-state disk would serve clients better")
        return Check(name, Verdict.OK, found)

    # ---- keys and who the node is

    def _own_keys(self) -> Check:
        name = "keys"
        if self._listed is None:
            return Check(name, Verdict.SKIPPED, "the network file lists no such node")
        if not (self._config.data_dir / KEY_FILE).exists():
            return Check(
                name,
                Verdict.FAIL,
                f"there are no keys in {self._config.data_dir}",
                "put them back with `ramson node keys import`; a start would make new ones, of another node",
            )
        try:
            self._keys = NodeKeys.load(self._config.data_dir)
        except LocalError as error:
            return Check(name, Verdict.FAIL, str(error), error.remedy)
        except OSError as error:
            return Check(name, Verdict.FAIL, f"they cannot be read: {error.strerror}", "look at owner and mode")
        if self._keys.ed25519.public != self._listed.ed25519:
            return Check(
                name, Verdict.FAIL, "they are not those the network lists for this node", "use its own directory"
            )
        return Check(name, Verdict.OK, f"they are those the network lists, {self._keys.ed25519.public.hex()[:8]}…")

    async def _daemon(self, address: DaemonAddress) -> AsyncIterator[Check]:
        try:
            link = await self._world.net.dial(address, {})
        except LocalError as error:
            yield Check("oxend", Verdict.FAIL, str(error), error.remedy)
            return
        try:
            oxend = Oxend(link, DAEMON_SECONDS)
            try:
                self._nodes = await oxend.service_nodes()
            except RemoteError as error:
                yield Check(
                    "oxend", Verdict.FAIL, f"it does not answer: {error}", "start oxend, and look at network.oxend"
                )
                return
            count = 0 if self._nodes is None else len(self._nodes.nodes)
            height = 0 if self._nodes is None else self._nodes.height
            yield Check("oxend", Verdict.OK, f"it answers, and lists {count} nodes at block {height}")
            yield await self._daemon_keys(oxend)
        finally:
            await link.close()

    async def _daemon_keys(self, oxend: Oxend) -> Check:
        try:
            secrets = await oxend.secrets()
            self._keys = NodeKeys.from_secrets(secrets.ed25519_seed, secrets.legacy_scalar)
        except RamsonError as error:
            return Check(
                "keys",
                Verdict.FAIL,
                f"oxend gives no keys: {error}",
                "run oxend with --service-node, and let this user use its socket",
            )
        self._listed = None if self._nodes is None else self._nodes.by_ed25519.get(self._keys.ed25519.public)
        return Check("keys", Verdict.OK, f"oxend gives them, {self._keys.ed25519.public.hex()[:8]}…")

    def _certificate(self) -> Check:
        name, directory = "certificate", self._config.data_dir
        paths = directory / certificate.CERTIFICATE_FILE, directory / certificate.KEY_FILE
        if not all(path.exists() for path in paths):
            return Check(name, Verdict.OK, "it will be made at the first start")
        try:
            check_private(paths[1])
            chain = x509.load_pem_x509_certificate(paths[0].read_bytes())
            key = serialization.load_pem_private_key(paths[1].read_bytes(), None)
        except NotPrivate as error:
            return Check(name, Verdict.FAIL, str(error), error.remedy)
        except (OSError, ValueError, TypeError) as error:
            again = f"remove {paths[0].name} and {paths[1].name}: the node makes new ones, and nobody minds"
            return Check(name, Verdict.FAIL, f"it cannot be read: {type(error).__name__}", again)
        if key.public_key() != chain.public_key():
            return Check(
                name,
                Verdict.FAIL,
                "certificate and key do not belong together",
                f"remove {paths[0].name} and {paths[1].name}: the node makes new ones",
            )
        end = chain.not_valid_after_utc
        if end <= datetime.fromtimestamp(self._world.clock.now() / 1000, UTC):
            return Check(
                name, Verdict.WARN, f"it ended on {end:%Y-%m-%d}", f"remove {paths[0].name}: a new one is made"
            )
        return Check(name, Verdict.OK, f"it is good until {end:%Y-%m-%d}")

    def _listing(self) -> Check:
        name = "node list"
        if self._nodes is None or self._keys is None:
            return Check(name, Verdict.SKIPPED, "it is not known which node this is")
        record = self._nodes.by_ed25519.get(self._keys.ed25519.public)
        if record is None:
            return Check(name, Verdict.FAIL, "the network does not list this node", "register and stake it first")
        ports = self._config.https.port, self._config.omq.port
        if record.contactable and (record.https_port, record.omq_port) != ports:
            return Check(
                name,
                Verdict.FAIL,
                f"the network looks for it at the ports {record.https_port} and {record.omq_port}, not {ports[0]} and"
                f" {ports[1]}",
                "set listen.https_port and listen.omq_port, or wait an hour for the next proof if they were changed",
            )
        if not record.assigned:
            return Check(
                name,
                Verdict.WARN,
                "this node is in no swarm: it is new, or was decommissioned",
                "wait a few blocks; if it was decommissioned, oxend's status says why",
            )
        members = len(self._nodes.swarm(record.swarm_id))
        return Check(name, Verdict.OK, f"this node is in swarm {record.swarm_id:x}, one of {members}")

    # ---- ports

    async def _https_port(self) -> Check:
        name, endpoint = "HTTPS port", self._config.https
        try:
            await self._try_to_listen(endpoint)
        except CannotListen as error:
            shown = await self._shown_key(endpoint)
            if shown is not None and self._keys is not None and shown == self._keys.legacy:
                self._running = True
                return Check(name, Verdict.OK, f"this node is running and answers at {endpoint}")
            taken = "another program has it" if shown is None else "another node has it"
            return Check(name, Verdict.FAIL, f"{error}: {taken}", error.remedy)
        return Check(name, Verdict.OK, f"{endpoint} is free")

    async def _omq_port(self) -> Check:
        name, endpoint = "OMQ port", self._config.omq
        try:
            await self._try_to_listen(endpoint)
        except CannotListen as error:
            if self._running and await self._answers_omq(endpoint):
                return Check(name, Verdict.OK, f"this node is running and answers at {endpoint}")
            return Check(name, Verdict.FAIL, f"{error}", error.remedy)
        if self._running:
            return Check(
                name,
                Verdict.FAIL,
                f"this node is running, but not listening at {endpoint}",
                "restart it with this configuration",
            )
        return Check(name, Verdict.OK, f"{endpoint} is free")

    async def _quic_port(self) -> Check:
        name, endpoint = "QUIC port", self._config.omq
        stranger = Ed25519KeyPair.generate(self._world.entropy)
        try:
            listener = await self._world.net.listen_quic(
                endpoint, stranger, lambda *_: QuicAnswer(b"", failed=True), limits=QuicLimits()
            )
            await listener.close()
        except CannotListen as error:
            if self._running and await self._answers_quic(endpoint, stranger):
                return Check(name, Verdict.OK, f"this node is running and answers at UDP {endpoint}")
            return Check(name, Verdict.FAIL, f"{error}", error.remedy)
        if self._running:
            return Check(
                name,
                Verdict.FAIL,
                f"this node is running, but not listening at UDP {endpoint}",
                "restart it with this configuration",
            )
        return Check(name, Verdict.OK, f"UDP {endpoint} is free")

    async def _answers_quic(self, endpoint: Endpoint, stranger: Ed25519KeyPair) -> bool:
        if self._keys is None:
            return False
        place, key = _dialable(endpoint), self._keys.ed25519.public
        with suppress(NetError):
            await self._world.net.ask_quic(place, key, "info", b"", identity=stranger, timeout=REPLY_SECONDS)
            return True
        return False

    async def _try_to_listen(self, endpoint: Endpoint) -> None:
        listener = await self._world.net.listen(
            endpoint, lambda _: HttpResponse(404), certificate=None, limits=HttpLimits()
        )
        await listener.close()

    async def _shown_key(self, endpoint: Endpoint) -> bytes | None:
        with suppress(NetError, ParseError):
            reply = await self._world.net.request(
                _dialable(endpoint), HttpRequest("POST", PING_PATH), tls=Tls(), timeout=REPLY_SECONDS
            )
            return parse_key(reply.headers.get("x-oxen-snode-pubkey", ""))
        return None

    async def _answers_omq(self, endpoint: Endpoint) -> bool:
        if self._keys is None:
            return False
        stranger = X25519KeyPair.generate(self._world.entropy)
        link = await self._world.net.link(stranger, {}, listen=None)
        try:
            peer = PeerAddress(_dialable(endpoint), self._keys.x25519.public)
            await link.request(peer, "storage.info", [b"{}"], timeout=REPLY_SECONDS)
        except (PeerTimeout, PeerRefused):
            return False
        finally:
            await link.close()
        return True

    async def _ask_status(self) -> dict[str, Any] | None:
        if self._config.metrics is None:
            return None
        try:
            reply = await self._world.net.request(
                self._config.metrics, HttpRequest("GET", STATUS_PATH), tls=None, timeout=REPLY_SECONDS
            )
            return strict_json.decode_object(reply.body)
        except (NetError, ParseError):
            return None

    def _pinged(self) -> Check:
        """Tell whether others ping the running node: the only proof that they can reach it."""
        name = "reached by others"
        if not self._running:
            return Check(name, Verdict.SKIPPED, "the node is not running", "start it and check again after two minutes")
        if self._config.metrics is None:
            return Check(name, Verdict.SKIPPED, "the node has no metrics port", "set metrics.listen to learn it")
        try:
            silence, pinged = (self._status or {})["silence"], (self._status or {})["pinged"]
            silent = [kind.upper() for kind, seconds in silence.items() if seconds >= SILENCE_SECONDS]
            waiting = [kind.upper() for kind, heard in pinged.items() if not heard]
        except (KeyError, TypeError, AttributeError):
            return Check(name, Verdict.WARN, "the metrics port does not answer", "restart the node with metrics.listen")
        if silent:
            return Check(
                name,
                Verdict.FAIL,
                f"no other node has pinged this one for two minutes over {' and '.join(silent)}",
                "open the ports to the outside: firewall, router, provider's security group",
            )
        if waiting:
            return Check(
                name, Verdict.SKIPPED, f"nobody has pinged it yet over {' and '.join(waiting)}", "wait a little"
            )
        return Check(name, Verdict.OK, "other nodes ping this one over all transports")

    # ---- time and limits

    async def _clock(self) -> Check:
        name = "clock"
        others = [] if self._nodes is None else [n for n in self._nodes.nodes if n.contactable and n != self._listed]
        asked = self._world.entropy.sample(others, min(ASKED_PEERS, len(others)))
        async with asyncio.TaskGroup() as asking:
            answers = [asking.create_task(self._offset(node)) for node in asked]
        offsets = [offset for answer in answers if (offset := answer.result()) is not None]
        if not offsets:
            return Check(name, Verdict.SKIPPED, "no other node could be asked for the time")
        middle = statistics.median(offsets)
        where = "ahead of" if middle < 0 else "behind"
        found = f"{abs(middle) / 1000:.1f} s {where} the network, by {len(offsets)} other nodes"
        remedy = "let it be set by NTP: systemctl enable --now systemd-timesyncd"
        if abs(middle) >= CLOCK_BAD_MS:
            return Check(name, Verdict.FAIL, found, remedy)
        if abs(middle) >= CLOCK_WELL_MS:
            return Check(name, Verdict.WARN, found, remedy)
        return Check(name, Verdict.OK, found)

    async def _offset(self, node: NodeRecord) -> float | None:
        """Return how many ms the clock of another node is ahead of ours."""
        clock = self._world.clock
        before, began = clock.now(), clock.monotonic()
        request = HttpRequest("POST", RPC_PATH, {}, b'{"method":"info","params":{}}')
        try:
            reply = await self._world.net.request(
                Endpoint(node.ip, node.https_port), request, tls=Tls(), timeout=REPLY_SECONDS, max_reply=MIB
            )
            told = strict_json.decode_object(reply.body).get("timestamp")
        except (NetError, ParseError):
            return None
        passed = 1000 * (clock.monotonic() - began)
        return told - (before + passed / 2) if type(told) is int else None

    def _files(self) -> Check:
        name, allowed = "open files", figures(self._directory).max_files
        wanted = self._config.max_connections + SPARE_FILES
        found = f"{allowed} may be open, {wanted} are wanted for {self._config.max_connections} connections"
        if allowed < wanted:
            return Check(
                name, Verdict.WARN, found, "raise LimitNOFILE of the service (ulimit -n), or lower limits.connections"
            )
        return Check(name, Verdict.OK, found)


def time_writes(directory: Path, monotonic: Callable[[], float], count: int = 20) -> list[float]:
    """Write a page `count` times, each until it is on the disk; return how many seconds each took."""
    times = []
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".check-") as file:
        for _ in range(count):
            began = monotonic()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            times.append(monotonic() - began)
    return times


def _dialable(endpoint: Endpoint) -> Endpoint:
    """Return where on this machine something that listens at `endpoint` can be reached."""
    return Endpoint(_ANY.get(endpoint.host, endpoint.host), endpoint.port)
