"""Lines and "title: value" pairs of a program's output, without what pasting added."""

from __future__ import annotations

import re
import unicodedata

Pairs = dict[str, list[str]]

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_TAG = re.compile(
    r"</?(?:details|summary|code|pre|p|br|b|div|span)\b[^<>\n]{0,200}>", re.IGNORECASE
)
_QUOTES = "`\"'\u2018\u2019\u201c\u201d\u00ab\u00bb"
_BEFORE = re.compile(rf"^(?:[\s>|*{_QUOTES}\ufeff]|[-+](?=\s))*")
_AFTER = f" \t|{_QUOTES}"
_PAIR = re.compile(r"([A-Za-z][\w()/ +.-]{0,60}?)\s*:\s*(.*)")


def lines(text: str) -> list[str]:
    """Return the lines without colours, quotes, lists, fences and HTML.

    Full-width characters become plain ones.
    """
    plain = _TAG.sub(" ", _ANSI.sub("", unicodedata.normalize("NFKC", text)))
    return [_BEFORE.sub("", line).rstrip(_AFTER) for line in plain.splitlines()]


def pairs(text_lines: list[str]) -> Pairs:
    """Return every value by its lower-case title, in the order of the text."""
    values: Pairs = {}
    for line in text_lines:
        if pair := _PAIR.match(line):
            values.setdefault(" ".join(pair[1].lower().split()), []).append(pair[2].strip())
    return values
