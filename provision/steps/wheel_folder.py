"""The folder of a prefix that stores wheels, and the notes beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = "wheels"
ASIDE: Final = ".imported"  # below it: a wheel that is inspected before it is kept


def note(wheel: Path) -> Path:
    """Return the file with what is known of a wheel. A wheel that has one is never pruned."""
    return wheel.with_name(f"{wheel.name}.json")
