"""The "title: value" pairs of a program's output."""

from __future__ import annotations

import re

Pairs = dict[str, list[str]]

_PAIR = re.compile(r"([A-Za-z][\w()/ +.-]{0,60}?)\s*:\s*(.*)")


def pairs(text_lines: list[str]) -> Pairs:
    """Return every value by its lower-case title, in the order of the text."""
    values: Pairs = {}
    for line in text_lines:
        if pair := _PAIR.match(line):
            values.setdefault(" ".join(pair[1].lower().split()), []).append(pair[2].strip())
    return values
