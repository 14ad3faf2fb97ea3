"""The modules of a folder: adding a reader means adding its file."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def modules(package: str, folders: Iterable[str]) -> Iterator[Any]:
    """Return every module of a package whose name has no leading underscore, by name."""
    for module in pkgutil.iter_modules(folders):
        if not (module.name.startswith("_") or module.ispkg):
            yield importlib.import_module(f"{package}.{module.name}")
