"""Markdown escapes: no text of a report is read as markup, HTML or a control character."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from provision.report.short import printable

# Between letters an underscore is not markup, and names are full of them.
_MARKUP = re.compile(r"([\\`*{}\[\]<>#|~&]|(?<![^\W_])_|_(?![^\W_]))")


def plain(text: str) -> str:
    """Return the text in one line with every markup character escaped."""
    return _MARKUP.sub(r"\\\1", printable(" ".join(text.split())))


def without_html(markdown: str) -> str:
    """Return a text that is meant as Markdown with its HTML tags escaped."""
    return re.sub(r"<(?=[a-zA-Z/!?])", r"\\<", markdown)


def fenced(code: str) -> list[str]:
    """Return a code block whose fence is longer than any fence inside it."""
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall("`+", code))])
    return [f"{fence}text", code, fence, ""]


def section(title: str, lines: Sequence[str], none: str = "") -> Iterator[str]:
    """Yield a section; one without lines says `none`, or is left out."""
    lines = lines or ([none] if none else [])
    if title and lines:
        yield from ("", f"## {title}")
    if lines:
        yield from ("", *lines)
