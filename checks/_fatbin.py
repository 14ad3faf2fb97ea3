"""Which GPU architectures a compiled file serves: machine code, PTX for the driver to compile, or nothing."""

from __future__ import annotations

import re
import struct
from collections import Counter
from typing import Literal, NamedTuple

_MAGIC = re.compile(re.escape(struct.pack("<I", 0xBA55ED50)))
_CONTAINER = struct.Struct("<IHHQ")  # magic, version, header size, payload size
_ENTRY = struct.Struct("<HHIQ12xI")  # kind, (unknown), header size, padded payload size, ..., architecture
_PTX, _MACHINE_CODE = 1, 2
# Integrated GPUs load only code that was built for exactly them.
_EXACT_CODE_ONLY = {72, 87, 110}


class Code(NamedTuple):
    """Architectures (90 for 9.0) of machine code and of PTX."""

    sm: frozenset[int]
    ptx: frozenset[int]

    def on(self, architecture: int) -> Literal["native", "ptx-jit", "none"]:
        """Machine code goes to GPUs of the same major that are no older; PTX to all that are no older."""
        if architecture in _EXACT_CODE_ONLY:
            return "native" if architecture in self.sm else "none"
        if any(each // 10 == architecture // 10 and each <= architecture for each in self.sm):
            return "native"
        return "ptx-jit" if any(each <= architecture for each in self.ptx) else "none"


def general(section: memoryview) -> Code:
    """What the kernels that every GPU needs are compiled for: the widest set that a file has.

    Special kernels are for some architectures only. PTX counts where all of the general kernels have it.
    """
    found = containers(section)
    if not found:
        return Code(frozenset(), frozenset())
    counts = Counter(code.sm for code in found)
    widest = max(counts, key=lambda sm: (len(sm), counts[sm], sorted(sm)))
    return Code(widest, frozenset.intersection(*(code.ptx for code in found if code.sm == widest)))


def containers(section: memoryview) -> list[Code]:
    """Every fat binary of a `.nv_fatbin` section; ValueError where one is cut off."""
    found = []
    next_one = _MAGIC.search(section)
    while next_one:
        at = next_one.start()
        if at + _CONTAINER.size > len(section):
            raise ValueError(f"a fat binary is cut off at byte {at}")
        _, _, header, payload = _CONTAINER.unpack_from(section, at)
        end = at + header + payload
        if header < _CONTAINER.size or end > len(section):
            raise ValueError(f"the fat binary at byte {at} is cut off")
        found.append(_code(section, at + header, end))
        next_one = _MAGIC.search(section, end)
    return found


def _code(section: memoryview, at: int, end: int) -> Code:
    sets: dict[int, set[int]] = {_PTX: set(), _MACHINE_CODE: set()}
    while at < end:
        if at + _ENTRY.size > end:
            raise ValueError(f"an entry of a fat binary is cut off at byte {at}")
        kind, _, header, payload, architecture = _ENTRY.unpack_from(section, at)
        if header < _ENTRY.size or at + header + payload > end:
            raise ValueError(f"the entry of a fat binary at byte {at} is cut off")
        sets.get(kind, set()).add(architecture)
        at += header + payload
    return Code(frozenset(sets[_MACHINE_CODE]), frozenset(sets[_PTX]))
