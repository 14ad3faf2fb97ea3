"""The GPUs of other makers, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.host import other_gpus
from provision.host._model import Found

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste


def read(paste: Paste) -> Found | None:
    named = {name: line.number for line in paste.lines for name in other_gpus.named_in([line.text])}
    return Found(tuple(named), tuple(named.values())) if named else None
