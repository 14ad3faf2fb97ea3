"""An Xid of the NVIDIA driver: of the hardware, of the driver's firmware, or of a program."""

from __future__ import annotations

import re
from collections.abc import Iterator

from provision.diagnose._model import Reader

_XID = re.compile(
    r"\bXids?\b(?: errors?| code)?[ :=]*(?:\(?(?:PCI:)?[\w:.]+\)?[:,] ?)?\(?(\d{1,3})\b",
    re.IGNORECASE,
)
# NVIDIA's Xid catalogue: hardware, memory, bus and link; GSP firmware; faults of a program. A
# replaced row (63) and a note about another Xid (154) ask for nothing.
_HARDWARE = {*range(46, 49), 54, 56, 58, 62, 64, 65, 74, 79, 92, 93, 94, 95, *range(110, 114)}
_HARDWARE |= {121, 123, 136, 140, 143, *range(144, 151), 155, 156, 160}
_FIRMWARE = {119, 120, 122}


def kind(number: int) -> str:
    """Return what an Xid is about: "hardware", "firmware" or "program"."""
    return "hardware" if number in _HARDWARE else "firmware" if number in _FIRMWARE else "program"


def numbers(of: str) -> list[int]:
    """Return the Xids of one kind."""
    return sorted({"hardware": _HARDWARE, "firmware": _FIRMWARE}[of])


def read(text: str) -> Iterator[dict[str, str]]:
    for match in _XID.finditer(text):
        yield {"number": match[1], "kind": kind(int(match[1]))}


READER = Reader(name="xid", words=("xid",), read=read)
