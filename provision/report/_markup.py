"""Markdown in which nothing that a report holds is taken for markup, for HTML or for a sign that moves text."""

from __future__ import annotations

import re

from provision.report.short import printable

# Between letters an underscore is none, and names are full of them.
_MARKUP = re.compile(r"([\\`*{}\[\]<>#|~&]|(?<![^\W_])_|_(?![^\W_]))")


def plain(text: str) -> str:
    """In one line, every sign of markup taken for itself."""
    return _MARKUP.sub(r"\\\1", printable(" ".join(text.split())))


def fenced(code: str) -> list[str]:
    """A fence that is longer than any in what it holds."""
    fence = "`" * max([3, *(len(found) + 1 for found in re.findall("`+", code))])
    return [f"{fence}text", code, fence, ""]
