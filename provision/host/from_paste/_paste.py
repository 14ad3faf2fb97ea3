"""A pasted text as the readers of facts see it: its lines, and the values below each title."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host._model import Found
from provision.host.from_paste.translators import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from provision.host.from_paste._lines import Line

NOTHING: Final = re.compile(r"(?:n/a|none|no cuda|could not collect|unknown)?", re.IGNORECASE)
_TITLED: Final = re.compile(r"([A-Za-z][\w()/ +.-]{0,60}?)\s*:\s*(.*)")


class Paste:
    """A text by lines and titles. Messages about missing values call it `name`."""

    def __init__(self, text: str, name: str, without: AbstractSet[int] = frozenset()) -> None:
        self.name = name
        self.is_cut = not text.endswith(("\n", "\r"))
        self.lines = [line for line in read_lines(text) if line.number not in without]
        self._values: dict[str, list[Line]] = {}
        for line in self.lines:
            if titled := _TITLED.match(line.text):
                title = " ".join(titled[1].lower().split())
                value = line._replace(text=titled[2].strip())
                self._values.setdefault(title, []).append(value)

    def values(self, *titles: str) -> list[Line]:
        """Return every value of these titles, in the order of the titles and of the text."""
        return [value for title in titles for value in self._values.get(title, [])]

    def version(self, what: str, pattern: re.Pattern[str], lines: Iterable[Line]) -> Found | None:
        """Return the first match of a pattern in these lines, and what other lines say instead.

        A match is the first group of the pattern, or all of it.
        """
        said = list(_matches(pattern, lines))
        if not said:
            return None
        value = said[0].text
        others = {other.text: other for other in reversed(said) if not _agree(other.text, value)}
        contradiction = " and ".join(
            f"{other.text} (line {other.number})" for other in [said[0], *others.values()]
        )
        return Found(
            value,
            tuple(dict.fromkeys(line.number for line in said if line.text == value)),
            f"{what}: {contradiction}" if others else "",
        )


def _matches(pattern: re.Pattern[str], lines: Iterable[Line]) -> Iterator[Line]:
    for line in lines:
        if match := pattern.search(line.text):
            yield line._replace(text=match[match.lastindex or 0])


def _agree(one: str, other: str) -> bool:
    """Return whether one version is the other, or a shorter form of it: 3.12 for 3.12.4."""
    short, long = sorted((one, other), key=len)
    return long == short or long.startswith((f"{short}.", f"{short}+"))
