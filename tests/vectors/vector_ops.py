"""The operations the vectors exercise: by family and name, the function that performs one case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ramson.errors import ParseError, RamsonError

Json = Mapping[str, Any]
Operation = Callable[[Json, Json], Json]

OPERATIONS: dict[str, dict[str, Operation]] = {}


def operation(family: str, name: str) -> Callable[[Operation], Operation]:
    """Register the function that performs `name` for vectors of `family`."""

    def register(function: Operation) -> Operation:
        OPERATIONS.setdefault(family, {})[name] = function
        return function

    return register


def find(family: str | None, name: str) -> Operation | None:
    """Return the function of an operation; without a known family, that of any family that has the name."""
    if family in OPERATIONS:
        return OPERATIONS[family].get(name)
    return next((operations[name] for operations in OPERATIONS.values() if name in operations), None)


def perform(family: str | None, case: Json) -> str | None:
    """Perform one case and return why it failed, or None when it passed."""
    function = find(family, case["op"])
    if function is None:
        return "unknown operation"
    expected = case["out"]
    must_fail = bool(expected.get("error"))
    try:
        actual = function(case["in"], expected)
    except RamsonError as error:
        return None if must_fail else f"refused: {error}"
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    if must_fail:
        return "must be refused, but was accepted"
    wrong = [name for name, value in expected.items() if name not in actual or actual[name] != value]
    return f"differs in {', '.join(wrong)}" if wrong else None


def verdict(*, valid: bool, expected: Json) -> Json:
    """What a verification has to say: false is also how a verifier refuses malformed input."""
    if not valid and expected.get("error"):
        raise ParseError("not verified")
    return {"valid": valid}
