"""Lists as pip and uv write them in one value; apart, because the reading child has no third-party packages."""

from __future__ import annotations


def words(value: str) -> list[str]:
    """pip separates by white space, uv by white space or commas."""
    return value.replace(",", " ").split()
