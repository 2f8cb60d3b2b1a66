"""Writing a node's status as metrics in Prometheus' text format (version 0.0.4).

A pure function of `Status`: a table of names, kinds and explanations, in the order in which they are shown.
docs/node.md explains what to watch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import accumulate
from typing import Any, Final

from ramson.node.counters import GROUP_SIZES
from ramson.node.status import Status

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Number = int | float
Values = Number | Mapping[Any, Number]  # one number, or one a label's value


def write(status: Status) -> str:
    """Return the metrics of a node."""
    return "".join(f"{line}\n" for metric in _metrics(status) for line in metric)


def _metrics(status: Status) -> Iterator[Iterable[str]]:
    counters, process, mailbox = status.counters, status.process, status.mailbox
    yield _metric(
        "ramson_info", "gauge", "Always 1; the label is the program's version.", {status.version: 1}, "version"
    )
    yield _metric("ramson_uptime_seconds", "gauge", "Since the node started.", status.uptime)
    yield _metric("ramson_ready", "gauge", "1 when the node serves clients.", int(not status.unready))
    yield _metric(
        "ramson_storage_requests_total", "counter", "Storage requests of clients.", counters.requests, "method"
    )
    yield _metric("ramson_storage_refused_total", "counter", "Of these, answered with 400 or more.", counters.refused)
    yield _metric("ramson_forwarded_total", "counter", "Storage requests of swarm members.", counters.forwarded)
    yield _metric(
        "ramson_stored_messages_total",
        "counter",
        "Messages stored.",
        {"new": counters.stored, "again": counters.stored_again, "failed": counters.store_failures},
        "kind",
    )
    yield _metric("ramson_retrieved_messages_total", "counter", "Messages given to clients.", counters.retrieved)
    yield _metric("ramson_retrieved_bytes_total", "counter", "Bytes of these replies.", counters.retrieved_bytes)
    yield _metric("ramson_onion_layers_total", "counter", "Onion layers by outcome.", counters.onions, "outcome")
    yield _metric("ramson_rate_limited_total", "counter", "Requests answered with 429.", counters.rate_limited)
    yield _metric("ramson_connections", "gauge", "Open HTTPS connections.", status.connections)
    yield _metric("ramson_quic_connections", "gauge", "Open QUIC connections.", status.quic_connections)
    yield _metric("ramson_subscriptions", "gauge", "Accounts that connections watch.", status.subscriptions)
    yield _metric(
        "ramson_replication_failures_total",
        "counter",
        "Requests in which a swarm member did not do its part.",
        counters.replication_failures,
        "peer",
    )
    yield _metric("ramson_handed_over_total", "counter", "New messages that other nodes brought.", counters.handed_over)
    yield _metric("ramson_swarm_life_total", "counter", "Handing over and repair.", asdict(status.swarm_life), "what")
    yield _metric("ramson_expired_messages_total", "counter", "Messages swept after their expiry.", counters.swept)
    if mailbox is not None:
        yield _metric("ramson_mailbox_messages", "gauge", "Messages kept.", mailbox.messages)
        yield _metric("ramson_mailbox_bytes", "gauge", "Bytes of the database in use.", mailbox.used_bytes)
        yield _metric("ramson_mailbox_limit_bytes", "gauge", "Bytes it may have.", mailbox.max_bytes)
        yield _metric("ramson_mailbox_full", "gauge", "1 while new messages are refused.", int(mailbox.full))
        yield _metric(
            "ramson_mailbox_turned_away_total", "counter", "Writes refused for want of room.", mailbox.turned_away
        )
    yield _histogram(
        "ramson_mailbox_commit_operations",
        "Operations in one transaction.",
        GROUP_SIZES,
        counters.commits,
        counters.commit_operations,
    )
    yield _metric("ramson_mailbox_commit_seconds_total", "counter", "Time spent in these.", counters.commit_seconds)
    yield _metric("ramson_swarm_members", "gauge", "Members, this node included.", len(status.peers) + 1)
    yield _metric("ramson_swarm_seconds", "gauge", "Since this node is in its swarm.", status.swarm_seconds)
    yield _metric("ramson_swarm_changes_total", "counter", "Times this node changed swarms.", counters.swarm_changes)
    yield _metric("ramson_listed_nodes", "gauge", "Nodes in the network's list.", status.listed_nodes)
    yield _metric("ramson_list_height", "gauge", "Block of that list.", status.list_height)
    yield _metric(
        "ramson_peer_tests_total", "counter", "Tests of other nodes' reachability.", counters.peer_tests, "outcome"
    )
    yield _metric("ramson_peers_failing", "gauge", "Nodes that failed their last test.", status.failing_peers)
    yield _metric(
        "ramson_peer_reports_total",
        "counter",
        "Results told to the daemon.",
        {"taken": counters.peer_reports, "lost": counters.peer_reports_lost},
        "fate",
    )
    yield _metric(
        "ramson_ping_silence_seconds", "gauge", "Since another node last pinged this one.", status.silence, "transport"
    )
    yield _metric(
        "ramson_storage_tests_total",
        "counter",
        "Tests of what swarm members keep.",
        counters.storage_tests,
        "outcome",
    )
    yield _metric(
        "ramson_storage_tests_answered_total", "counter", "Of this node's keeping.", counters.storage_tests_answered
    )
    yield _metric("ramson_peers_suspect", "gauge", "Members that lack what they should keep.", status.suspect_peers)
    if status.daemon is not None:
        yield _metric("ramson_daemon_connected", "gauge", "1 while oxend is there.", int(status.daemon.connected))
        yield _metric("ramson_daemon_problems", "gauge", "What goes wrong with it now.", len(status.daemon.problems))
        yield _metric("ramson_daemon_block", "gauge", "Its newest block.", status.daemon.block or 0)
    yield _metric("ramson_disk_free_bytes", "gauge", "Room on the disk of the data.", process.disk_free)
    yield _metric("process_cpu_seconds_total", "counter", "Processor time used.", process.cpu_seconds)
    yield _metric("process_resident_memory_bytes", "gauge", "Memory in use.", process.resident)
    yield _metric("process_open_fds", "gauge", "Open files and sockets.", process.open_files)
    yield _metric("process_max_fds", "gauge", "How many there may be.", process.max_files)


def _metric(name: str, kind: str, explanation: str, values: Values, label: str = "") -> Iterable[str]:
    yield f"# HELP {name} {explanation}"
    yield f"# TYPE {name} {kind}"
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield f'{name}{{{label}="{key}"}} {_number(value)}'
    else:
        yield f"{name} {_number(values)}"


def _histogram(name: str, explanation: str, bounds: Iterable[int], counts: Iterable[int], total: int) -> Iterable[str]:
    yield f"# HELP {name} {explanation}"
    yield f"# TYPE {name} histogram"
    below = 0
    for bound, below in zip(bounds, accumulate(counts), strict=True):
        yield f'{name}_bucket{{le="{bound}"}} {below}'
    yield f'{name}_bucket{{le="+Inf"}} {below}'
    yield f"{name}_sum {total}"
    yield f"{name}_count {below}"


def _number(value: Number) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
