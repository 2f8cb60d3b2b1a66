"""Forty nodes, everything at once: whatever the seed, nodes keep their promises.

`make test` runs 30 seeds, `make soak` 200; RAMSON_SEED=17 runs one alone.  See docs/proofs.md.
"""

import asyncio
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from ramson.node.mailbox import Mailbox, MemberView
from ramson.node.swarm.repair import Repair

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from history import check
from storm import PLANNED, Storm

pytestmark = [pytest.mark.sim, pytest.mark.timeout(600), pytest.mark.usefixtures("quick")]

SEEDS = 200 if os.environ.get("RAMSON_SOAK") else 30
CHUNKS = 10
ONE = os.environ.get("RAMSON_SEED")
LEAST = {"present": 12, "deleted": 1, "expired": 5, "served": 30, "token read": 1, "swarms compared": 3}
MOST_CONTESTED = 0.3  # of the messages


@pytest.mark.parametrize("chunk", [0] if ONE else range(CHUNKS))
def test_nodes_keep_their_promises_in_every_storm(chunk, directory):
    faults, claims = Counter(), Counter()
    for seed in [int(ONE)] if ONE else range(chunk, SEEDS, CHUNKS):
        home = directory / str(seed)
        home.mkdir()
        storm = Storm(seed, home)
        verdict = check(storm.run())
        assert not verdict.violations, f"seed {seed}:\n" + "\n".join(verdict.violations)
        missing = [fault for fault in PLANNED if not storm.faults[fault]]
        assert not missing, f"seed {seed} proves nothing, for these faults never happened: {missing}"
        messages = sum(verdict.claims[kind] for kind in ("present", "present for a while", "deleted", "contested"))
        assert verdict.claims["contested"] <= MOST_CONTESTED * messages, f"seed {seed}: {verdict.claims}"
        faults += storm.faults
        claims += verdict.claims
        shutil.rmtree(home)
    for kind, least in {} if ONE else LEAST.items():
        assert claims[kind] >= least * (SEEDS // CHUNKS), f"too little was proved: {claims}"
    print(f"\nfaults: {_told(faults)}\nclaims: {_told(claims)}")


def test_one_seed_is_one_history(directory):
    def run(name):
        (directory / name).mkdir()
        return Storm(7, directory / name).run()

    assert run("a") == run("b")


async def _never(*_arguments):
    await asyncio.Event().wait()


async def _nothing(*_arguments, **_options):
    return 0


DEFECTS = {
    "no repair": (Repair, "run", _never, {"lost", "differ"}),
    "nothing handed over": (MemberView, "note_change", _nothing, {"lost", "differ"}),
    "no sweep": (Mailbox, "sweep", _nothing, {"expired", "outlived"}),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_storm_notices_a_node_with_a_defect(defect, directory, monkeypatch):
    place, name, replacement, expected = DEFECTS[defect]
    monkeypatch.setattr(place, name, replacement)
    found = {text.split(":")[0] for text in check(Storm(11, directory).run()).violations}
    assert found & expected, found


def _told(counts):
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
