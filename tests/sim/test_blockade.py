"""People in a country that is cut off get through by bridges, and others notice nothing; see docs/proofs.md.

`make test` plays it small, `make soak` with 300 nodes and 201 people; RAMSON_SEED=17 plays that seed.
"""

import functools
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median

import pytest

from ramson.sim import censors
from ramson.sim.censors import Deed

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from blockade import ABROAD, BLOCKED, DOWN, LARGE, REGIONS, SMALL, TINY, Blockade, Outcome, everything, region, table
from simulating import IN_MEMORY

pytestmark = [pytest.mark.sim, pytest.mark.timeout(3600), pytest.mark.usefixtures("quick")]

SOAK = bool(os.environ.get("RAMSON_SOAK"))
SIZE = LARGE if SOAK else SMALL
SEED = int(os.environ.get("RAMSON_SEED", "1"))
FIRST_START, RESTART, SWITCHED_ON = 60.0, 15.0, 15.0  # seconds until a message is kept by the recipient's swarm
POLL = 5.0  # seconds between two polls, which whoever writes to somebody cannot know
OTHERS = [name for name in REGIONS if name != BLOCKED]


@functools.cache
def without_a_censor(seed: int) -> Outcome:
    """Play a seed in a free country."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as name:
        return Blockade(seed, Path(name), SIZE, None).run()


def nothing_lost(run: Outcome) -> None:
    assert run.missing == 0
    assert run.doubled == []
    assert run.refused == 0, "a bridge was asked for more than it gives"


def by_bridge(run: Outcome) -> None:
    """The blocked are out by bridges, the others straight, and who is out leaves blocked addresses alone."""
    people = run.size.clients // len(REGIONS)
    assert run.ways == {name: {"bridge" if name == BLOCKED else "straight": people} for name in REGIONS}
    assert run.strays() == 0
    assert run.met, "a censor that never met a packet proves nothing"
    assert min(run.served) > 0, "everybody went to the same bridges"


def longest(run: Outcome, rounds: Iterable[str], *, began: float | None = None) -> tuple[float, float]:
    """Return the longest time until a letter of the blocked was kept, and until one within the region was read."""
    letters = run.of(*rounds, regions=[BLOCKED])
    kept = max(times.kept - (times.written if began is None else began) for times in letters.values())
    near = run.of(*rounds, regions=[BLOCKED], abroad=False)
    read = max(times.read[0] - (times.written if began is None else began) for times in near.values())
    return kept, read


def differences(run: Outcome, control: Outcome, *rounds: str) -> tuple[list[float], list[float]]:
    """Return by how much later than without a censor letters of the others were kept, and those to others read."""
    pairs = [(run.letters[each], control.letters[each], each) for each in control.of(*rounds, regions=OTHERS)]
    kept = [one.kept - two.kept for one, two, _ in pairs]
    read = [one.read[0] - two.read[0] for one, two, letter in pairs if region(letter.recipient) != BLOCKED]
    return kept, read


def test_a_country_that_was_cut_off_before_anybody_started(directory):
    control = without_a_censor(SEED)
    run = Blockade(SEED, directory, SIZE, everything).run()
    print("\n" + table({"none": control, "from the start": run}))
    for each in (control, run):
        nothing_lost(each)
    by_bridge(run)
    assert {Deed.POISONED, Deed.DROPPED} <= set(run.met)
    assert max(longest(run, ["first"])) < FIRST_START
    assert max(longest(run, ["again"], began=SIZE.restart + DOWN)) < RESTART
    # Others take other paths than they would have, for their choices hang on what is answered first: each message may
    # find its recipient one poll earlier or later.  But nobody waits for longer.
    for name in SIZE.rounds:
        kept, read = differences(run, control, name)
        assert max(map(abs, kept)) < 2.0
        assert abs(median(kept)) < 0.25
        assert max(map(abs, read)) < POLL
        assert abs(median(read)) < 1.0


def test_a_censor_that_switches_on_in_mid_conversation(directory):
    seed = SEED if SOAK else SEED + 1
    control = without_a_censor(seed)
    run = Blockade(seed, directory, SIZE, everything, since=SIZE.switch).run()
    print("\n" + table({"none": control, "switched on": run}))
    for each in (control, run):
        nothing_lost(each)
    by_bridge(run)
    kept, read = longest(run, ["in it", "after"])
    assert kept < SWITCHED_ON
    assert read < SWITCHED_ON + POLL
    for letter, times in control.letters.items():  # one seed is one history until then, for everybody
        if letter.round in ABROAD:
            assert run.letters[letter] == times
    for difference in differences(run, control, "before", "in it", "after"):
        assert max(map(abs, difference)) < 0.05


ALONE = {
    "seeds dropped": (lambda places: censors.dropped("seeds", places.seeds), Deed.DROPPED, "straight"),
    "nodes dropped": (lambda places: censors.dropped("nodes", places.nodes), Deed.DROPPED, "bridge"),
    "reset by the seed's name": (lambda places: censors.reset(places.seed_name), Deed.RESET, "straight"),
    "frozen after 16 KiB": (lambda _places: censors.FREEZE, Deed.FROZEN, "straight"),
    "the seed's name poisoned": (lambda places: censors.poison(places.seed_name), Deed.POISONED, "straight"),
}


@pytest.mark.parametrize("censor", ALONE)
def test_each_censor_alone(censor, directory):
    blocking, deed, way = ALONE[censor]
    run = Blockade(SEED, directory, TINY, blocking).run()
    nothing_lost(run)
    assert set(run.met) == {deed}, "a censor that never met a packet proves nothing"
    assert set(run.ways[BLOCKED]) == {way}
    assert max(longest(run, ["first"])) < FIRST_START


def test_one_seed_is_one_history(directory):
    one, two = (Blockade(7, directory / name, TINY, everything).run() for name in ("a", "b"))
    assert one.letters == two.letters
    assert one.opened == two.opened
