"""Outputs of programs, told in the words of collect_env.

Each module of this folder translates the output of one program: `translate` yields lines such as
"Nvidia driver version: 580.65.06". So one reader of each fact reads them all, in any mixture.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from provision.host.from_paste import _listing
from provision.host.from_paste._lines import Line, cleaned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LONGEST = 500


# Whether a text is a paste, and what it says, is asked one after the other.
@functools.lru_cache(maxsize=1)
def read_lines(text: str) -> tuple[Line, ...]:
    """Return the lines of a text, and behind them their translations; each has its number."""
    lines = cleaned(text)
    # No program writes longer lines about a host, and patterns are slow on them.
    short = [line for line in lines if len(line.text) <= _LONGEST]
    return (*lines, *(line for translate in _translators() for line in translate(short)))


def _translators() -> Iterator[Callable[[list[Line]], Iterator[Line]]]:
    for module in _listing.modules(__name__, __path__):
        yield module.translate
