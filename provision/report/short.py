"""Words, numbers and figures of a report in short form: one line, few letters, four digits."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from provision.results import Figure

OUTCOMES: Final = ("fail", "error", "warn", "skip", "pass")  # the order in which lists show them
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def first_line(text: str) -> str:
    """Return the first line that is not empty, without control characters."""
    lines = (_CONTROL.sub(" ", line).strip() for line in text.splitlines())
    return next((line for line in lines if line), "")


def printable(text: str) -> str:
    """Return the text without characters that steer a terminal or reverse the reading order."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " for letter in text)


def cut(text: str, columns: int) -> str:
    """Return at most so many letters; three dots stand for the rest."""
    return text if len(text) <= columns else f"{text[: columns - 3].rstrip()}..."


def number(value: float) -> str:
    """Return a number with four significant digits: 1,234  0.01235."""
    size = abs(value)
    # True of infinity and NaN.
    if not size < float("inf"):
        return str(value)
    if size and (size < 0.0001 or size >= 1e15):
        return f"{value:.3g}"
    digits = next((digits for digits in range(6) if size >= 10 ** (3 - digits)), 6)
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def value(figure: Figure) -> str:
    """Return the figure's number or word."""
    return figure.value if isinstance(figure.value, str) else number(figure.value)


def with_unit(figure: Figure) -> str:
    """Return the figure's number with its unit, or its word."""
    return f"{value(figure)} {figure.unit}".rstrip()


def of(figure: Figure) -> str:
    """Return what the figure is about, in the same words and order in every run."""
    return ", ".join(f"{key} {word}" for key, word in sorted(figure.of.items()))


def spread(figure: Figure) -> str:
    """Return the spread of the samples; a single sample has none."""
    return f"{figure.spread:.1%}" if len(figure.samples) > 1 else ""


def seconds(value: float) -> str:
    """Return a duration in seconds, minutes or hours, depending on its length."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def evidence(evidence: dict[str, Any], most: int | None = None) -> str:
    """Return the evidence of a check as JSON, at most so many letters of it."""
    text = json.dumps(evidence, indent=1, ensure_ascii=False) if evidence else ""
    return (
        f"{text[:most]}\n... report.json has the rest"
        if most is not None and len(text) > most
        else text
    )
