"""Counters of swarm life, for metrics and tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SwarmLifeStats:
    """How often things happened since the start of the node.

    Handing over: `debts_paid` to peers in full, `debts_dropped` because the peer has gone, `retries`, `batches_sent`
    and the messages in them.  Taking: `copies_taken` over from others and `refused` offers.  Repair: `rounds` with a
    peer, those that `failed`, and `differences`: buckets in which a peer had other copies.
    """

    debts_paid: int = 0
    debts_dropped: int = 0
    retries: int = 0
    batches_sent: int = 0
    messages_sent: int = 0
    copies_taken: int = 0
    refused: int = 0
    rounds: int = 0
    failed: int = 0
    differences: int = 0
