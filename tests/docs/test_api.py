"""What is public is typed and documented, and docs/api.md says what it is."""

import builtins
import importlib.util
import inspect
import re
from dataclasses import is_dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("write_api", ROOT / "tools" / "write_api.py")
api = importlib.util.module_from_spec(spec)
spec.loader.exec_module(api)


def functions():
    """Every public function, method and constructor, by its full name."""
    for name in api.MODULES:
        for each, value in api.public(import_module(name)):
            if inspect.isfunction(value):
                yield f"{name}.{each}", value
            elif isinstance(value, type):
                for member, found in api.members(value):
                    yield f"{name}.{each}.{member}", found.fget if isinstance(found, property) else found
                if "__init__" in vars(value) and not is_dataclass(value) and not issubclass(value, Enum):
                    yield f"{name}.{each}", value.__init__


def test_the_page_is_what_would_be_written():
    assert (ROOT / "docs" / "api.md").read_text() == api.write(), "stale: python tools/write_api.py > docs/api.md"


@pytest.mark.parametrize("name", api.MODULES)
def test_everything_public_is_documented(name):
    module = import_module(name)
    assert module.__doc__
    missing = []
    for each, value in api.public(module):
        if isinstance(value, type) or inspect.isfunction(value):
            # A dataclass or an enumeration without a docstring of its own has one that Python made.
            said = (value.__doc__ or "").strip()
            if not said or said.startswith((f"{each}(", "An enumeration")):
                missing.append(each)
        elif not api.constant_text(module, each):
            missing.append(each)
    assert missing == []


def test_every_public_function_is_documented_and_typed():
    missing = []
    for name, function in functions():
        parameters = list(inspect.signature(function).parameters.values())
        own = parameters[1:] if parameters and parameters[0].name in {"self", "cls"} else parameters
        if any(each.annotation is each.empty for each in own) or "return" not in function.__annotations__:
            missing.append(f"{name}: types")
        if function.__name__ != "__init__" and not inspect.getdoc(function):
            missing.append(f"{name}: text")
    assert missing == []


def test_every_error_that_is_named_is_explained():
    page, _, errors = (ROOT / "docs" / "api.md").read_text().partition("## Errors")
    explained = set(re.findall(r"^- `(\w+)`", errors, re.MULTILINE))
    named = set()
    for sentence in re.findall(r"\bRaises ([^.;]+)", page):
        named |= set(re.findall(r"\b[A-Z][a-z]\w*[a-z]\b", sentence))
    unknown = {each for each in named if each not in explained and not hasattr(builtins, each)}
    assert unknown == set()
    assert len(named) > 20
