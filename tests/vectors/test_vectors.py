"""Every committed file of vectors passes, and the runner fails when it should."""

import gzip
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = sorted(path for path in HERE.iterdir() if path.name.endswith((".json", ".json.gz")))

_spec = importlib.util.spec_from_file_location("vectors_run", HERE / "run.py")
vectors_run = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = vectors_run
_spec.loader.exec_module(vectors_run)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.partition(".")[0])
def test_vectors(path):
    passed, failures = vectors_run.run(path)
    assert [str(failure) for failure in failures] == []
    assert passed > 0


@pytest.mark.parametrize("about", [{"family": "config_contacts"}, {"family": "unheard_of"}, {}])
@pytest.mark.parametrize(("name", "case"), [("x.json", "config_contacts-x-1"), ("config_contacts.json", "1")])
def test_a_family_is_that_of_the_file_or_of_the_id_or_of_the_file_s_name(tmp_path, about, name, case):
    steps = [{"client": "A", "do": "content"}]
    empty = {"needs_push": False, "content": {"size": 0, "contacts": []}}
    cases = [{"id": case, "op": "scenario", "in": {"seed": "00" * 32, "steps": steps}, "out": {"results": [empty]}}]
    path = tmp_path / name
    path.write_text(json.dumps({"_about": about, "cases": cases}), encoding="utf-8")
    assert vectors_run.run(path) == (1, [])


def broken_file(tmp_path: Path) -> Path:
    ok = {"op": "hash", "in": {"size": 32, "message": "", "key": None}}
    right = "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"
    cases = [
        {"id": "right", **ok, "out": {"hash": right}},
        {"id": "wrong", **ok, "out": {"hash": right[::-1]}},
        {"id": "accepted", **ok, "out": {"error": True}},
        {"id": "refused", "op": "hash", "in": {"size": 15, "message": "", "key": None}, "out": {"hash": right}},
        {"id": "stranger", "op": "no_such_operation", "in": {}, "out": {}},
        {"id": "missing", **ok, "out": {"hash": right, "more": 1}},
        {"id": "crash", "op": "hash", "in": {}, "out": {"error": True}},
    ]
    path = tmp_path / "broken.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"_about": {}, "cases": cases}).encode()))
    return path


def test_the_runner_reports_each_failure_and_counts_them(tmp_path):
    path = broken_file(tmp_path)
    done = subprocess.run(
        [sys.executable, HERE / "run.py", path], capture_output=True, text=True, check=False, timeout=60
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert lines[-1] == "1 passed, 6 failed"
    reported = [line.removeprefix(f"{path}: ").split()[0] for line in lines[:-1]]
    assert reported == ["wrong", "accepted", "refused", "stranger", "missing", "crash"]
