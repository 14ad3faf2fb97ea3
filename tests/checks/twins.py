"""The mark of a test that plants a fault and asserts that a check fails: `@twin_of("matmul")`."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

_Test = TypeVar("_Test", bound=Callable[..., None])


def twin_of(*checks: str) -> Callable[[_Test], _Test]:
    """Say that a test makes each of these checks fail: no skip, and no error."""

    def mark(test: _Test) -> _Test:
        vars(test)["twin_of"] = checks
        return test

    return mark


def marked(module: ModuleType) -> dict[str, tuple[str, ...]]:
    """Return the tests of a module that are twins, with the checks that they make fail."""
    tests: dict[str, Any] = {
        name: getattr(value, "twin_of", ())
        for name, value in vars(module).items()
        if name.startswith("test_")
    }
    return {name: checks for name, checks in tests.items() if checks}
