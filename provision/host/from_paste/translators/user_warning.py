"""torch's warnings about a GPU that is too new or too old: they name it and its capability."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host.from_paste._lines import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

_WARNING: Final = re.compile(r"(\S.*\S) with CUDA capability sm_(\d{1,2})(\d)\b")
_FOUND: Final = re.compile(
    r"Found GPU\d{1,3} (.{1,80}?) which is of cuda capability (\d{1,2})\.(\d)\b"
)
_GPU: Final = re.compile(r"GPU (\d{1,3}(?:\s*,\s*\d{1,3})*)\s*:\s*(\S.*)")


def translate(lines: list[Line]) -> Iterator[Line]:
    """Tell the capability of each listed GPU of that name; without a list, of one GPU."""
    listed = [match for line in lines if (match := _GPU.match(line.text))]
    told = set()
    for line in lines:
        match = _WARNING.search(line.text) or _FOUND.search(line.text)
        if not match or match[1] in told:
            continue
        told.add(match[1])
        name, capability = match[1].rpartition(": ")[2], f"{int(match[2])}.{match[3]}"
        numbers = [
            number.strip()
            for gpu in listed
            if gpu[2] == name or gpu[2].startswith(f"{name} (")
            for number in gpu[1].split(",")
        ]
        for number in numbers:
            text = f"Found GPU{number} {name} which is of cuda capability {capability}."
            yield Line(line.number, text)
        if not listed:
            yield Line(line.number, f"GPU 0: {name} (compute capability {capability})")
