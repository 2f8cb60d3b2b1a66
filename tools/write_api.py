"""Writes docs/api.md from what is public: `python tools/write_api.py > docs/api.md`.

Nothing is listed by hand but the modules: names come from `__all__`, signatures and texts from the source.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import import_module
from itertools import pairwise
from types import ModuleType
from typing import Any, Final

from ramson.errors import RamsonError

# What a bot or program imports; a name that several modules give is described where it comes first.
MODULES: Final = (
    "ramson",
    "ramson.bot.filters",
    "ramson.bot",
    "ramson.messenger",
    "ramson.testing",
    "ramson.sync",
    "ramson.testing.sync",
)
TITLES: Final = {"ramson.bot.filters": "ramson.filters"}
SHORT: Final = frozenset({"ramson.sync", "ramson.testing.sync"})  # what they say was said already
LONGEST: Final = 100  # letters of a signature in one line
HEAD: Final = """\
# The API

Written from the source (`python tools/write_api.py > docs/api.md`); a test fails when it is stale. Begin with the
[tutorial](sdk.md).
"""


def write() -> str:
    """Return the whole page."""
    errors: list[type] = []
    seen: set[int] = set()
    parts = [HEAD]
    for name in MODULES:
        module = import_module(name)
        parts.append(f"## `{TITLES.get(name, name)}`\n")
        parts.append(_text(module))
        for each, value in public(module):
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, type) and issubclass(value, RamsonError):
                errors.append(value)
            elif name in SHORT:
                parts += _short(module, each, value)
            else:
                parts += _entry(module, each, value)
    named = set(re.findall(r"\b[A-Z]\w+\b", "\n".join(parts)))
    errors += [each for each in _all_errors() if each.__name__ in named and each not in errors]
    parts.append("## Errors\n")
    parts.append("All derive from `RamsonError`; `error.remedy` is a sentence that says what to do.\n")
    parts += [f"- `{each.__name__}` ({_bases(each)}): {_line(_text(each))}" for each in sorted(errors, key=_path)]
    return "\n".join(parts).rstrip() + "\n"


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Go through what a module gives."""
    for name in sorted(module.__all__, key=lambda each: (not each[0].isupper(), each.casefold())):
        if not isinstance(value := getattr(module, name), ModuleType) and not name.startswith("__"):
            yield name, value


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """Go through the public methods and properties of a class, inherited ones of ours included."""
    for name in dict.fromkeys(name for each in cls.__mro__[::-1] if _ours(each) for name in vars(each)):
        if not name.startswith("_") and not _is_field(cls, name):
            value = inspect.getattr_static(cls, name)
            if isinstance(value, (classmethod, staticmethod)):
                value = value.__func__
            if inspect.isfunction(value) or isinstance(value, property):
                yield name, value


def signature(value: Any, *, name: str, drop: bool = False) -> str:
    """Return how something is called, as its source has it; without the first parameter if that is to be dropped."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        raise TypeError(f"{name} is not a function")
    arguments = _split(ast.unparse(node.args))[drop:]
    begins = "async def " if isinstance(node, ast.AsyncFunctionDef) else "def "
    ends = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    line = f"{begins}{name}({', '.join(arguments)}){ends}"
    if len(line) <= LONGEST:
        return line
    return "\n".join([f"{begins}{name}(", *(f"    {each}," for each in arguments), f"){ends}"])


def _split(arguments: str) -> list[str]:
    """Take a list of parameters apart at its commas, but not at those within brackets."""
    parts, depth = [""], 0
    for letter in arguments:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def constant_text(module: ModuleType, name: str) -> str:
    """Return the string that stands behind the assignment of a constant, in the module that makes it."""
    for node in ast.walk(_tree(module)):
        if (
            not isinstance(node, ast.ImportFrom)
            or not node.module
            or not {name, "*"} & {each.name for each in node.names}
        ):
            continue
        if hasattr(home := import_module(node.module), name):
            return constant_text(home, name)
    body = _tree(module).body
    for node, after in pairwise(body):
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if name in map(ast.unparse, targets) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            return str(after.value.value)
    return ""


@functools.cache
def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def _entry(module: ModuleType, name: str, value: Any) -> Iterator[str]:
    yield f"### `{name}`\n"
    if not isinstance(value, type):
        if inspect.isfunction(value):
            yield _code(signature(value, name=name))
        yield _text(value) if inspect.isfunction(value) else constant_text(module, name) + "\n"
        return
    if issubclass(value, Enum):
        yield _text(value)
        yield "\n".join(f"- `{each.name}`" for each in value) + "\n"
        return
    if is_dataclass(value):
        shown = [each for each in fields(value) if not each.name.startswith("_")]
        yield _code("\n".join([f"class {name}:", *(f"    {each.name}: {each.type}" for each in shown)]))
    elif "__init__" in vars(value) and not inspect.isabstract(value):
        yield _code(signature(vars(value)["__init__"], name=name, drop=True).removeprefix("def "))
    yield _text(value)
    for each, member in members(value):
        yield f"#### `{name}.{each}`\n"
        if isinstance(member, property):
            yield _code(f"{each}: {member.fget.__annotations__['return']}")
            yield _text(member)
        else:
            yield _code(signature(member, name=each, drop=True))
            yield _text(member)


def _short(module: ModuleType, name: str, value: Any) -> Iterator[str]:
    yield f"### `{name}`\n"
    lines = []
    if isinstance(value, type):
        for each, member in members(value):
            if isinstance(member, property):
                lines.append(f"{each}: {member.fget.__annotations__['return']}")
            else:
                lines.append(signature(member, name=each, drop=True))
    elif inspect.isfunction(value):
        lines.append(signature(value, name=name))
    documented = isinstance(value, type) or inspect.isfunction(value)
    yield (_line(_text(value)) if documented else constant_text(module, name)) + "\n"
    if lines:
        yield _code("\n".join(lines))


def _all_errors(root: type = RamsonError) -> Iterator[type]:
    for each in root.__subclasses__():
        yield each
        yield from _all_errors(each)


def _code(text: str) -> str:
    return f"```text\n{text}\n```\n"


def _text(value: Any) -> str:
    return (inspect.getdoc(value) or "") + "\n"


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text.split("\n\n", 1)[0]).strip()


def _bases(cls: type) -> str:
    return ", ".join(f"`{each.__name__}`" for each in cls.__bases__ if each is not Exception) or "`Exception`"


def _path(cls: type) -> tuple[str, ...]:
    return tuple(each.__name__ for each in cls.__mro__[::-1])


def _ours(cls: type) -> bool:
    return cls.__module__.startswith("ramson.")


def _is_field(cls: type, name: str) -> bool:
    return is_dataclass(cls) and any(each.name == name for each in fields(cls))


if __name__ == "__main__":
    sys.stdout.write(write())
