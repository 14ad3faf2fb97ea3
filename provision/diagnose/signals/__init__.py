"""Structured readers: each turns one kind of message into values that causes can ask for.

Each module of this folder whose name has no leading underscore has one constant, READER.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

from provision.diagnose._model import Reader


@functools.cache
def readers() -> tuple[Reader, ...]:
    """Return every reader of this folder, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(
        importlib.import_module(f"{__name__}.{name}").READER
        for name in names
        if not name.startswith("_")
    )
