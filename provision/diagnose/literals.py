"""The words that a line must contain to match a pattern, so that most lines need no matching."""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

# The parser of `re`. Its result is a list of (operation, argument).
_parser: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
_SHORTEST = 3


@functools.cache
def required(pattern: str) -> frozenset[str]:
    """Return lower-case words of which every match contains one; empty if there are none."""
    return frozenset(_best(list(_parser.parse(pattern))))


def _best(operations: list[Any]) -> set[str]:
    """Return the set of words whose shortest one is longest."""
    candidates: list[set[str]] = []
    run = ""
    for name, argument in [*operations, ("end", None)]:
        if str(name) == "LITERAL":
            run += chr(argument).lower()
            continue
        if len(run) >= _SHORTEST:
            candidates.append({run})
        run = ""
        if words := _inside(str(name), argument):
            candidates.append(words)
    return max(candidates, key=_shortest, default=set())


def _shortest(words: set[str]) -> int:
    return min(map(len, words))


def _inside(name: str, argument: Any) -> set[str]:  # noqa: ANN401 - the parser has no types
    if name == "SUBPATTERN":
        return _best(list(argument[-1]))
    if name in {"MAX_REPEAT", "MIN_REPEAT"} and argument[0] >= 1:
        return _best(list(argument[2]))
    if name == "BRANCH":
        branches = [_best(list(branch)) for branch in argument[1]]
        return set().union(*branches) if all(branches) else set()
    return set()
