"""Lists as pip and uv write them in one value.

The reading child imports this, so it needs no package.
"""

from __future__ import annotations


def words(value: str) -> list[str]:
    """Split at white space, as pip does, and at commas, as uv does too."""
    return value.replace(",", " ").split()
