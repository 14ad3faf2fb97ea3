"""The sign of a text that comes from WSL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.host._model import Found

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste


def read(paste: Paste) -> Found | None:
    platforms = paste.values("python platform")
    told = tuple(value.number for value in platforms if "microsoft" in value.text.lower())
    return Found(bool(told), told) if platforms else None
