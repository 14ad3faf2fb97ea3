"""What figures have to be before anybody reads, compares or draws them, as JSON has them."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import asdict, fields
from typing import Any

from ._contract import Figure

_MOST = 5_000
_LARGEST, _LARGEST_OF_ALL = 100_000, 10_000_000  # letters of JSON
_NEAR = 1e-4  # as values are rounded
_NAMES = {field.name for field in fields(Figure)}


def plain(figures: Any) -> list[dict[str, Any]]:
    """As JSON; ValueError says what is wrong with them."""
    many = isinstance(figures, (list, tuple)) and len(figures) > _MOST
    told = figures if many or not isinstance(figures, (list, tuple)) else list(map(_plain, figures))
    if said := wrong(told):
        raise ValueError(said)
    return list(told)


def _plain(figure: Any) -> Any:
    return asdict(figure) if isinstance(figure, Figure) else figure


def wrong(figures: Any) -> str:
    """A sentence on the first that is none, or on all of them; nothing where they are as they should be."""
    if not isinstance(figures, (list, tuple)):
        return "its figures are no list"
    if len(figures) > _MOST:
        return f"it left {len(figures)} figures, and {_MOST} are the most"
    seen, letters = set(), 0
    for at, one in enumerate(figures):
        problem = _shape(one) or _content(one)
        if problem:
            return f"its figure {at + 1} is none: {problem}"
        key = one["name"], tuple(sorted(one["of"].items()))
        if key in seen:
            return f"two of its figures are {one['name']!r} of the same"
        seen.add(key)
        size = len(json.dumps(one))
        letters += size
        if size > _LARGEST or letters > _LARGEST_OF_ALL:
            return f"its figures are too large: figure {at + 1} takes {size} letters, all of them so far {letters}"
    return ""


def _shape(one: Any) -> str:
    if not isinstance(one, dict) or set(one) != _NAMES:
        return f"it has to have {', '.join(sorted(_NAMES))}"
    if not all(isinstance(one[name], str) for name in ("name", "unit", "method")) or not one["name"]:
        return "its name, unit and method have to be words"
    if one["better"] not in ("higher", "lower", "same"):
        return "better is higher, lower or the same"
    of, samples = one["of"], one["samples"]
    if not isinstance(of, dict) or not all(isinstance(word, str) for pair in of.items() for word in pair):
        return "what it is of has to be said in words"
    if not isinstance(samples, (list, tuple)) or not all(map(_number, samples)):
        return "its samples have to be numbers"
    if type(one["repeats"]) is not int or one["repeats"] != len(samples):
        return f"it was repeated {one['repeats']!r} times and has {len(samples)} samples"
    return ""


def _content(one: dict[str, Any]) -> str:
    value, samples = one["value"], one["samples"]
    if isinstance(value, str):
        return "a word has no samples, and is better the same" if samples or one["better"] != "same" else ""
    if not _number(value):
        return "its value is neither a number nor a word"
    if not samples:
        return "a number has samples"
    median = statistics.median(samples)
    return (
        ""
        if math.isclose(value, median, rel_tol=_NEAR)
        else f"its value is {value}, the median of its samples {median}"
    )


def _number(value: Any) -> bool:
    """One that JSON can hold: neither infinite nor no number at all."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
