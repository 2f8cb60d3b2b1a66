"""Writes the synchronous API from the asynchronous one: `python tools/write_sync.py`.

Theory of operation.  From the classes in `ROOTS` every class is found that their public methods and fields give out
and that has verbs to wait for, or holds something that has.  Of each a twin is written, with the same names,
signatures and docstrings: a frozen value becomes a dataclass derived from it, whose verbs wait; any other object one
that wraps it.  An asynchronous iterator becomes an `Iteration`, a context manager an ordinary one.  The names that
signatures use are imported as the original module imports them.  Nothing is run: it reads source and classes.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from ramson.messenger.client import Client

PACKAGE: Final = Path(__file__).parents[1] / "src" / "ramson"
ITERATORS: Final = frozenset({"AsyncIterator", "AsyncGenerator", "AsyncIterable"})
WORDS: Final = (
    ("an async context manager", "a context manager"),
    ("async with", "with"),
    ("async for", "for"),
    ("async iterator", "iterator"),
    ("asyncio.timeout", "ramson.sync.timeout"),
    ("await ", ""),
)
HEAD: Final = '''\
"""{what}

Written from {roots} by `python tools/write_sync.py`; a test fails when it is stale.  Not to be
edited: what it stands on is in `ramson.sync.loop`.
"""

# ruff: noqa: E501, FBT001, FBT002, F401, PLC2701, PLR0904, PLW0108, RUF100, SLF001 - written by a program

from __future__ import annotations

'''


class Page:
    """One module to be written: its classes, and what it imports."""

    def __init__(self, roots: tuple[type, ...], known: dict[type, str]) -> None:
        self._roots = roots
        self._known = known  # twins that another page has, by their module
        self.classes: dict[type, ast.ClassDef] = {}
        self._seen: set[type] = set()
        self._aliases: dict[tuple[str, str], str] = {}
        self._imports: set[str] = set()
        for root in roots:
            self._find(root)

    # Which classes.

    def _find(self, cls: type) -> bool:
        """Take in a class if it needs a twin, with all it gives out; return whether it does."""
        if cls in self.classes or cls in self._known:
            return True
        if cls in self._seen:
            return False
        self._seen.add(cls)
        if not cls.__module__.startswith("ramson.") or _streams(cls):
            return False
        node = class_of(cls)
        given = [each for text in _given_out(node, cls) for each in self._named(cls, text)]
        needed = any(_waits(method) for method in public(node))
        if needed:
            self.classes[cls] = node  # before its parts, which may give it out again
        found = [self._find(each) for each in given if isinstance(each, type)]
        needed = needed or any(found)
        if needed:
            self.classes[cls] = self.classes.pop(cls, node)  # after its parts
        return needed

    def _named(self, cls: type, annotation: ast.expr) -> Iterator[object]:
        """Go through what an annotation names; an alias stands for its parts, a stream for its items."""
        module = sys.modules[cls.__module__]
        for each in ast.walk(annotation):
            if isinstance(each, ast.Name):
                found = value_of(module, each.id)
                yield from getattr(found, "__args__", ()) if not isinstance(found, type) else (found,)
                if _streams(found):
                    yield from self._named(found, _item(found))

    # How they are written.

    def write(self, what: str) -> str:
        """Return the source."""
        body = [self._class(cls, node) for cls, node in self.classes.items()]
        roots = " and ".join(f"`{root.__module__}.{root.__qualname__}`" for root in self._roots)
        names = sorted([*(cls.__name__ for cls in self.classes), *(name for _, name in self._aliases)])
        lines = [
            HEAD.format(what=what, roots=roots),
            "\n".join(sorted(self._imports)),
            f"\n__all__ = {names!r}\n",
            *body,
            *(self._alias(home, name, text) for (home, name), text in self._aliases.items()),
        ]
        return "\n".join(lines)

    @staticmethod
    def _alias(home: str, name: str, text: str) -> str:
        body = tree_of(sys.modules[home]).body
        place = next(i for i, node in enumerate(body) if name in map(ast.unparse, _targets(node)))
        said = ast.unparse(body[place + 1]).strip("'\"")
        return f'{name}: TypeAlias = {text}\n"""{said}"""\n'

    def _class(self, cls: type, node: ast.ClassDef) -> str:
        original = f"Async{cls.__name__}"
        self._imports |= {
            f"from {cls.__module__} import {cls.__name__} as {original}",
            "from ramson.sync.loop import twin_of",
        }
        body = [_quoted(inspect.getdoc(cls) or "")]
        lines = [f"@twin_of({original})"]
        if is_dataclass(cls):
            self._imports |= {"from dataclasses import dataclass", "from ramson.sync.loop import Loop"}
            lines += ["@dataclass(frozen=True, slots=True)", f"class {cls.__name__}({original}):"]
            body += self._narrowed(cls, node)
            methods = [method for method in public(node) if _waits(method)]
            if methods:
                self._imports |= {"from dataclasses import field", "from ramson.sync.loop import waited"}
                body.append("_loop: Loop | None = field(default=None, repr=False, compare=False, kw_only=True)")
        else:
            base = "Opened" if hasattr(cls, "__aenter__") else "Wrapped"
            self._imports.add(f"from ramson.sync.loop import {base}")
            lines.append(f"class {cls.__name__}({base}):")
            methods = list(public(node))
        body += [self._method(cls, method, original) for method in methods]
        return "\n".join([*lines, *(_indented(part) + "\n" for part in body)])

    def _narrowed(self, cls: type, node: ast.ClassDef) -> Iterator[str]:
        """Go through the fields that hold twins."""
        for each in node.body:
            if isinstance(each, ast.AnnAssign) and any(
                found in self.classes for found in self._named(cls, each.annotation)
            ):
                default = "" if each.value is None else f" = {ast.unparse(each.value)}"
                yield f"{ast.unparse(each.target)}: {self._annotation(cls, each.annotation)}{default}"

    def _method(self, cls: type, method: ast.FunctionDef | ast.AsyncFunctionDef, original: str) -> str:
        marks = {ast.unparse(each) for each in method.decorator_list}
        arguments = self._signature(cls, method)
        given = _passed(method.args)
        returns, kind = self._returns(cls, method)
        value = is_dataclass(cls)
        if "classmethod" in marks:
            self._imports.add("from ramson.sync.loop import PROCESS_LOOP")
            answer = f"return cls.of({original}.{method.name}({given}), PROCESS_LOOP)"
            lines = ["@classmethod"]
        else:
            lines = ["@property"] if "property" in marks else []
            call = f"self._inner.{method.name}" + ("" if "property" in marks else f"({given})")
            if value:
                call = f"{original}.{method.name}({', '.join(filter(None, ['self', given]))})"
            how = "waited(self, {})" if value else {"wait": "self._wait({})", "ask": "self._ask({})"}.get(kind, "")
            if kind == "iterate":
                how = "self._iterate({})"
            elif kind == "block":
                self._imports.add("from ramson.sync.loop import Block")
                how = f"Block(self._loop, {call})"
            answer = how.format(f"lambda: {call}")
            if kind == "block":
                answer = f"return {answer}"
            elif returns != "None":
                answer = f"answer: {returns} = {answer}\nreturn answer"
        ignore = "  # type: ignore[override]" if value else ""
        lines.append(f"def {method.name}({arguments}) -> {returns}:{ignore}")
        lines += [_indented(_quoted(_said(method))), _indented(answer)]
        return "\n".join(lines)

    def _returns(self, cls: type, method: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, str]:
        """Return what a method gives, and the way it is got."""
        returns = method.returns
        if returns is None:
            raise TypeError(f"{cls.__name__}.{method.name} has no return type")
        if isinstance(returns, ast.Subscript) and ast.unparse(returns.value) in ITERATORS:
            item = returns.slice.elts[0] if isinstance(returns.slice, ast.Tuple) else returns.slice
            if any("contextmanager" in ast.unparse(each) for each in method.decorator_list):
                self._imports.add("from ramson.sync.loop import Block")
                return f"Block[{self._annotation(cls, item)}]", "block"
            self._imports.add("from ramson.sync.loop import Iteration")
            return f"Iteration[{self._annotation(cls, item)}]", "iterate"
        if isinstance(returns, ast.Name):
            stream = value_of(sys.modules[cls.__module__], returns.id)
            if isinstance(stream, type) and _streams(stream):
                self._imports.add("from ramson.sync.loop import Iteration")
                return f"Iteration[{self._annotation(stream, _item(stream))}]", "iterate"
        kind = "wait" if isinstance(method, ast.AsyncFunctionDef) else "ask"
        return self._annotation(cls, returns), kind

    def _signature(self, cls: type, method: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        for each in ast.walk(method.args):
            if isinstance(each, ast.arg) and each.annotation is not None:
                self._annotation(cls, each.annotation)
        for default in (*method.args.defaults, *(each for each in method.args.kw_defaults if each is not None)):
            self._annotation(cls, default)
        return ast.unparse(method.args)

    def _annotation(self, cls: type, expression: ast.expr) -> str:
        """Return an expression of the class's module as it reads here, and import what it names."""
        for each in ast.walk(expression):
            if isinstance(each, ast.Name):
                self._import(sys.modules[cls.__module__], each.id)
        return ast.unparse(expression)

    def _import(self, module: ModuleType, name: str) -> None:
        found = value_of(module, name)
        if isinstance(found, type) and found in self.classes:
            return
        if isinstance(found, type) and found in self._known:
            self._imports.add(f"from {self._known[found]} import {name}")
            return
        home, line = origin(module, name)
        if line is None:
            return
        parts = [each for each in getattr(found, "__args__", ()) if each in self.classes]
        if parts and not isinstance(found, type):
            if (home.__name__, name) not in self._aliases:
                self._aliases[home.__name__, name] = ""
                expression = _assigned(home, name)
                for each in ast.walk(expression):
                    if isinstance(each, ast.Name):
                        self._import(home, each.id)
                self._aliases[home.__name__, name] = ast.unparse(expression)
                self._imports.add("from typing import TypeAlias")
            return
        self._imports.add(line)


# Reading source.


@functools.cache
def tree_of(module: ModuleType) -> ast.Module:
    """Return a module's source as a tree."""
    return ast.parse(inspect.getsource(module))


def class_of(cls: type) -> ast.ClassDef:
    """Return the source of a class as a tree."""
    for node in tree_of(sys.modules[cls.__module__]).body:
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            return node
    raise TypeError(f"{cls} is not at the top of its module")


def public(node: ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Go through the public methods and properties of a class."""
    for each in node.body:
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) and not each.name.startswith("_"):
            yield each


def value_of(module: ModuleType, name: str) -> object:
    """Return what a name in a module stands for; None if it is only known to type checkers."""
    if hasattr(module, name):
        return getattr(module, name)
    home, line = origin(module, name)
    return getattr(home, name, None) if line is not None and home is not module else None


def origin(module: ModuleType, name: str) -> tuple[ModuleType, str | None]:
    """Return the module a name comes from and the line that imports it, or None for a builtin."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    home = import_module(node.module)
                    if node.module.startswith("ramson") and (inner := origin(home, alias.name))[1] is not None:
                        home = inner[0]
                    return home, f"from {node.module} import {alias.name}" + (f" as {name}" if alias.asname else "")
        if isinstance(node, ast.Import):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return import_module(alias.name), f"import {alias.name}"
    if name in vars(module):
        return module, f"from {module.__name__} import {name}"
    return module, None


def _targets(node: ast.stmt) -> list[ast.expr]:
    return [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])


def _assigned(module: ModuleType, name: str) -> ast.expr:
    for node in tree_of(module).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value and name in map(ast.unparse, _targets(node)):
            return node.value
    raise TypeError(f"{name} is not an alias in {module.__name__}")


def _waits(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    returns = "" if method.returns is None else ast.unparse(method.returns)
    return isinstance(method, ast.AsyncFunctionDef) or returns.split("[", maxsplit=1)[0] in ITERATORS


def _streams(found: object) -> bool:
    """Whether it is a class of ours whose objects are iterated."""
    return isinstance(found, type) and found.__module__.startswith("ramson.") and hasattr(found, "__anext__")


def _given_out(node: ast.ClassDef, cls: type) -> Iterator[ast.expr]:
    yield from (method.returns for method in public(node) if method.returns is not None)
    if is_dataclass(cls):
        for each in node.body:
            if isinstance(each, ast.AnnAssign) and not ast.unparse(each.target).startswith("_"):
                yield each.annotation


def _item(stream: type) -> ast.expr:
    for each in class_of(stream).body:
        if isinstance(each, ast.AsyncFunctionDef) and each.name == "__anext__" and each.returns is not None:
            return each.returns
    raise TypeError(f"{stream} does not say what it gives")


def _passed(arguments: ast.arguments) -> str:
    """Return how a method's arguments, but the first, are passed on."""
    given = [each.arg for each in (*arguments.posonlyargs, *arguments.args)][1:]
    if arguments.vararg is not None:
        given.append(f"*{arguments.vararg.arg}")
    given += [f"{each.arg}={each.arg}" for each in arguments.kwonlyargs]
    if arguments.kwarg is not None:
        given.append(f"**{arguments.kwarg.arg}")
    return ", ".join(given)


# Words.


def _said(method: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return ast.get_docstring(method) or ""


def _quoted(text: str) -> str:
    for old, new in WORDS:
        text = re.sub(rf"{re.escape(old)}\b" if old[-1].isalpha() else re.escape(old), new, text)
    end = "\n" if "\n" in text else ""
    return f'"""{text}{end}"""'


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines())


def pages() -> dict[Path, str]:
    """Return the source of every written module, by its file."""
    from ramson.testing.network import FakeNetwork  # noqa: PLC0415 - its package has what is written here

    facade = Page((Client,), {})
    known = dict.fromkeys(facade.classes, "ramson.sync")
    fake = Page((FakeNetwork,), known)
    return {
        PACKAGE / "sync" / "facade.py": facade.write("The synchronous API: an account, and the values it gives out."),
        PACKAGE / "testing" / "sync_facade.py": fake.write("The fake network for synchronous programs."),
    }


def formatted(source: str, path: Path) -> str:
    """Return source as the project writes it."""
    for order in (["check", "--fix", "--quiet", "--exit-zero", "--select", "I,F401,RUF022,RUF100"], ["format"]):
        command = [sys.executable, "-m", "ruff", *order, "--stdin-filename", str(path), "-"]
        source = subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own words
    return source


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(formatted(text, file))
