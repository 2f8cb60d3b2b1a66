"""The black-box suite for nodes passes against a devnet of the shape that lets no test skip.

Tests marked `quirk` record faults of the server the suite was proven against; `test_quirks_done_better` says which
of them these nodes do not have.  `conformance_more` is our own continuation: what the specification says and the suite
does not ask.
"""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ramson.devnet import Devnet
from ramson.world import real

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SUITE = Path(__file__).parents[1] / "conformance"
MORE = Path(__file__).parents[1] / "conformance_more"

TOO_SLOW = "the node (or this client) is too slow to be limited"

# Each of these asserts a fault, so here it has to fail.
BETTER = {
    "test_delete_before_all_namespaces",
    "test_foreign_account_is_accepted",
    "test_handoff_is_not_checked",
    "test_negative_max_count",
    "test_outbox_of_an_account_with_nothing_else",
    "test_revocation_before_any_message_is_lost",
    "test_revoke_nothing",
    "test_unframed_hash_collision",
}


async def suite(directory: Path, *arguments: str, tests: Path = SUITE) -> str:
    """Run a suite against a fresh devnet and return what pytest printed."""
    async with Devnet(real.world(), directory, conformance=True) as devnet:
        command = [sys.executable, "-m", "pytest", str(tests), "-c", str(tests / "pytest.ini"), "-q", "-rsf"]
        command += ["--network", str(devnet.network_path), *arguments]
        finished = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    return finished.stdout


def skipped(said: str) -> set[str]:
    """Return why tests were skipped, but for what no machine can help that is busy with something else.

    A node can only be seen to limit requests by whoever makes 450 a second.
    """
    return set(re.findall(r"^SKIPPED \[\d+\] \S+ (.*)$", said, re.MULTILINE)) - {TOO_SLOW}


async def test_all_but_the_quirks_pass_and_none_is_skipped(tmp_path):
    said = await suite(tmp_path, "-m", "not quirk")
    assert re.search(r"^\d{3} passed,( \d skipped,)? \d+ deselected in ", said, re.MULTILINE), said[-8000:]
    assert not skipped(said)


async def test_quirks_done_better(tmp_path):
    said = await suite(tmp_path, "-m", "quirk")
    failed = set(re.findall(r"^FAILED \S+::(\w+)", said, re.MULTILINE))
    assert failed == BETTER, said[-8000:]


async def test_more_pass_and_none_is_skipped(tmp_path):
    said = await suite(tmp_path, tests=MORE)
    assert re.search(r"^\d{4} passed(, \d skipped)? in ", said, re.MULTILINE), said[-8000:]
    assert not skipped(said)
