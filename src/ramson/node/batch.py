"""Requests that hold other requests: `batch`, `sequence` and `ifelse`.

All of them were parsed before any is carried out; here they are only carried out and their outcomes put together.
Spec: storage-rpc.md §4, node/CORRECTIONS.md.

Theory of operation.  `execute` carries out one request and returns its outcome, or something to be awaited for it; it
never raises.  As long as nothing has to be awaited, these return an outcome at once too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

from ramson.node.outcome import Outcome
from ramson.node.replies import results
from ramson.protocol.storage import Batch, Encoding, Request, Sequence

Pending: TypeAlias = Outcome | Awaitable[Outcome]
Execute: TypeAlias = Callable[[Request, Encoding], Pending]


def run_batch(batch: Batch, encoding: Encoding, execute: Execute) -> Pending:
    """Carry out all requests; those that have to be awaited run side by side."""
    pending = [execute(request, encoding) for request in batch.requests]
    if all(isinstance(outcome, Outcome) for outcome in pending):
        return results(cast("list[Outcome]", pending), encoding)
    return _await_all(pending, encoding)


async def _await_all(pending: list[Pending], encoding: Encoding) -> Outcome:
    async with asyncio.TaskGroup() as group:
        running = [
            outcome if isinstance(outcome, Outcome) else group.create_task(_await(outcome)) for outcome in pending
        ]
    return results((item if isinstance(item, Outcome) else item.result() for item in running), encoding)


async def _await(outcome: Awaitable[Outcome]) -> Outcome:
    return await outcome


def run_sequence(sequence: Sequence, encoding: Encoding, execute: Execute) -> Pending:
    """Carry out the requests one after another, up to and including the first whose status is not 2xx."""
    done: list[Outcome] = []
    for index, request in enumerate(sequence.requests):
        outcome = execute(request, encoding)
        if not isinstance(outcome, Outcome):
            return _continue(done, outcome, sequence.requests[index + 1 :], encoding, execute)
        done.append(outcome)
        if not _succeeded(outcome):
            break
    return results(done, encoding)


async def _continue(
    done: list[Outcome],
    running: Awaitable[Outcome],
    rest: tuple[Request, ...],
    encoding: Encoding,
    execute: Execute,
) -> Outcome:
    done.append(await running)
    for request in rest:
        if not _succeeded(done[-1]):
            break
        outcome = execute(request, encoding)
        done.append(outcome if isinstance(outcome, Outcome) else await outcome)
    return results(done, encoding)


def _succeeded(outcome: Outcome) -> bool:
    return 200 <= outcome.status < 300
