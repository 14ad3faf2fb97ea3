"""Validates figures before they are read, compared or drawn, in the form that they have in JSON."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import asdict, fields
from typing import Any

from ._contract import Figure

_MOST = 5_000
_LARGEST, _LARGEST_OF_ALL = 100_000, 10_000_000  # characters of JSON
# Values are rounded to five digits, so a value and the median of its samples differ in the sixth.
_ROUNDING = 1e-4
_FIELDS = {field.name for field in fields(Figure)}


def as_json(figures: Any) -> list[dict[str, Any]]:
    """Return the figures of a body as JSON. Raise ValueError if one of them is invalid."""
    rows = figures
    # A million figures are refused by their number, before each is converted.
    if isinstance(figures, (list, tuple)) and len(figures) <= _MOST:
        rows = [asdict(row) if isinstance(row, Figure) else row for row in figures]
    if text := problem(rows):
        raise ValueError(text)
    return list(rows)


def problem(figures: Any) -> str:
    """Return what is wrong with the first invalid figure, or with all of them; "" if nothing is."""
    if not isinstance(figures, (list, tuple)):
        return "its figures are no list"
    if len(figures) > _MOST:
        return f"it left {len(figures)} figures; at most {_MOST} are allowed"
    known, total = set(), 0
    for number, row in enumerate(figures, start=1):
        if text := _wrong_shape(row) or _wrong_value(row):
            return f"its figure {number} is invalid: {text}"
        key = row["name"], tuple(sorted(row["of"].items()))
        if key in known:
            return f"two of its figures are {row['name']!r} of the same thing"
        known.add(key)
        size = len(json.dumps(row))
        total += size
        if size > _LARGEST or total > _LARGEST_OF_ALL:
            return (
                f"its figures are too large: figure {number} has {size} characters, "
                f"all so far have {total}"
            )
    return ""


def _wrong_shape(row: Any) -> str:
    if not isinstance(row, dict) or set(row) != _FIELDS:
        return f"it must have {', '.join(sorted(_FIELDS))}"
    if not all(isinstance(row[key], str) for key in ("name", "unit", "method")) or not row["name"]:
        return "its name, unit and method must be text"
    if row["better"] not in ("higher", "lower", "same"):
        return "better must be higher, lower or same"
    of, samples = row["of"], row["samples"]
    if not isinstance(of, dict) or not all(
        isinstance(word, str) for pair in of.items() for word in pair
    ):
        return "what it is of must be text"
    if not isinstance(samples, (list, tuple)) or not all(map(_is_number, samples)):
        return "its samples must be numbers"
    if type(row["repeats"]) is not int or row["repeats"] != len(samples):
        return f"it was repeated {row['repeats']!r} times and has {len(samples)} samples"
    return ""


def _wrong_value(row: dict[str, Any]) -> str:
    value, samples = row["value"], row["samples"]
    if isinstance(value, str):
        plain = not samples and row["better"] == "same"
        return "" if plain else "a word has no samples, and better must be same"
    if not _is_number(value):
        return "its value is neither a number nor a word"
    if not samples:
        return "a number needs samples"
    median = statistics.median(samples)
    close = math.isclose(value, median, rel_tol=_ROUNDING)
    return "" if close else f"its value is {value}, the median of its samples {median}"


def _is_number(value: Any) -> bool:
    """Return whether JSON can hold this number: not infinite, not NaN, and not an endless int."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
