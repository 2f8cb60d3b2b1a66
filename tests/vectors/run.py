"""Run files of vectors: `python tests/vectors/run.py FILE…` (.json or .json.gz).

Prints one line per failing case (file, id, operation, why), at the end `N passed, M failed`, and exits
with 1 if any failed.

Every `family_*.py` beside this file is imported, and registers its operations with

    from vector_ops import operation

    @operation("onionreq", "build")
    def build(given, expected):        # the case's `in` and `out`
        ...
        return {"request": …}          # must hold every field of `out`, equal as JSON values

A case with `out.error` passes when the function raises a RamsonError; any other exception, in any case, is
a failure.  `expected` is there for results that are right in more than one form (random ciphertexts, JSON
with other key order): such a function checks the expected value itself and returns it.  Several modules
may share one family.  An operation nobody registered fails.
"""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

import vector_ops  # noqa: E402 - found beside this file

for _family in sorted(HERE.glob("family_*.py")):
    importlib.import_module(_family.stem)


@dataclass(frozen=True, slots=True)
class Failure:
    """One case that did not come out as it should."""

    case: str
    operation: str
    reason: str

    def __str__(self) -> str:
        return f"{self.case} {self.operation}: {self.reason}"


def load(path: Path) -> tuple[str | None, list[dict[str, Any]]]:
    """Return a file's family, if it names one, and its cases."""
    raw = path.read_bytes()
    content = json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    if isinstance(content, list):
        return None, content
    return content.get("_about", {}).get("family"), content["cases"]


def family_of(case: dict[str, Any], named: str | None, path: Path) -> str | None:
    """Return the family of a case: that of its file, or the one its id (`hash-pub-001`) or its file begins with."""
    candidates = (named, str(case.get("id", "")).partition("-")[0], path.name.partition(".")[0])
    return next((family for family in candidates if family in vector_ops.OPERATIONS), None)


def run(path: Path) -> tuple[int, list[Failure]]:
    """Return how many cases of a file passed, and the failures."""
    named, cases = load(path)
    failures = []
    for number, case in enumerate(cases, 1):
        reason = vector_ops.perform(family_of(case, named, path), case)
        if reason is not None:
            failures.append(Failure(str(case.get("id", f"case {number}")), case["op"], reason))
    return len(cases) - len(failures), failures


def main(arguments: list[str]) -> int:
    """Run every file named and report."""
    passed = failed = 0
    for name in arguments:
        ok, failures = run(Path(name))
        passed += ok
        failed += len(failures)
        for failure in failures:
            print(f"{name}: {failure}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
