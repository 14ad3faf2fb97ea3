"""Pasted outputs of programs, told in the words of collect_env.

Each module of this folder whose name has no leading underscore translates the output of one
program: `translate` yields lines such as "Nvidia driver version: 580.65.06". So one reader, that of
collect_env, reads them all, in any mixture.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

from provision.host.pasted._lines import Line, cleaned

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
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            yield importlib.import_module(f"{__name__}.{module.name}").translate
