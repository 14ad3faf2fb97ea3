"""Words, numbers and figures of a report made short: one line, so many letters, so many digits."""

from __future__ import annotations

import re
from typing import Final

from provision.engine.check_results import Figure

# How checks ended, as a reader wants to see them: what is skipped mostly has nothing to do here.
OUTCOMES: Final = ("fail", "error", "warn", "skip", "pass")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def first_line(text: str) -> str:
    """The first line that says something, without what would move a terminal's cursor."""
    lines = (_CONTROL.sub(" ", line).strip() for line in text.splitlines())
    return next((line for line in lines if line), "")


def printable(text: str) -> str:
    """Reports come from anywhere: without what would steer a terminal, or turn the order of letters around."""
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text)


def cut(text: str, columns: int) -> str:
    """At most so many letters; what was cut off is seen to be."""
    return text if len(text) <= columns else f"{text[: columns - 3].rstrip()}..."


def number(value: float) -> str:
    """Four digits that count, in words that a person reads: 1,234  0.01235."""
    size = abs(value)
    if not size < float("inf"):
        return str(value)
    if size and (size < 0.0001 or size >= 1e15):
        return f"{value:.3g}"
    digits = next((digits for digits in range(6) if size >= 10 ** (3 - digits)), 6)
    said = f"{value:,.{digits}f}"
    return said.rstrip("0").rstrip(".") if "." in said else said


def value(figure: Figure) -> str:
    """What was found, a number or a word."""
    return figure.value if isinstance(figure.value, str) else number(figure.value)


def with_unit(figure: Figure) -> str:
    """What was found, fit to stand alone."""
    return f"{value(figure)} {figure.unit}".rstrip()


def of(figure: Figure) -> str:
    """What it is of: the same words in the same order in every run."""
    return ", ".join(f"{key} {word}" for key, word in sorted(figure.of.items()))


def spread(figure: Figure) -> str:
    """Of samples; what was measured once has none."""
    return f"{figure.spread:.1%}" if len(figure.samples) > 1 else ""


def seconds(value: float) -> str:
    """As a clock would say it where it is long."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
