"""The fixtures and the `--network` option of the public suite, whose `sntest` these tests use too."""

import importlib.util
import sys
from pathlib import Path

SUITE = Path(__file__).parents[1] / "conformance"
sys.path.insert(0, str(SUITE))

_spec = importlib.util.spec_from_file_location("public_suite_conftest", SUITE / "conftest.py")
_public = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_public)

pytest_addoption = _public.pytest_addoption
net, a, b = _public.net, _public.a, _public.b
alice, group, foreigner = _public.alice, _public.group, _public.foreigner
stranger, unassigned, dead = _public.stranger, _public.unassigned, _public.dead
