"""Reads the GPU architectures that a compiled file serves, by machine code or by PTX."""

from __future__ import annotations

import re
import struct
from collections import Counter
from typing import Literal, NamedTuple

_MAGIC = re.compile(re.escape(struct.pack("<I", 0xBA55ED50)))
_CONTAINER = struct.Struct("<IHHQ")  # magic, version, header size, payload size
_ENTRY = struct.Struct(
    "<HHIQ12xI"
)  # kind, (unknown), header size, padded payload size, ..., architecture
_PTX, _MACHINE_CODE = 1, 2
# Integrated GPUs load only code that was built for exactly them.
_EXACT_CODE_ONLY = {72, 87, 110}


class GpuCode(NamedTuple):
    """Architectures (90 for 9.0) of machine code and of PTX."""

    sm: frozenset[int]
    ptx: frozenset[int]

    def on(self, architecture: int) -> Literal["native", "ptx-jit", "none"]:
        """Return how this code runs on a GPU.

        Machine code runs on GPUs of the same major version that are no older, PTX on all that
        are no older.
        """
        if architecture in _EXACT_CODE_ONLY:
            return "native" if architecture in self.sm else "none"
        if any(code // 10 == architecture // 10 and code <= architecture for code in self.sm):
            return "native"
        return "ptx-jit" if any(code <= architecture for code in self.ptx) else "none"


def general(section: memoryview) -> GpuCode:
    """Return what the kernels that every GPU needs are compiled for: the widest set of the file.

    Special kernels are for some architectures only. PTX counts if all general kernels have it.
    """
    codes = containers(section)
    if not codes:
        return GpuCode(frozenset(), frozenset())
    counts = Counter(code.sm for code in codes)
    widest = max(counts, key=lambda sm: (len(sm), counts[sm], sorted(sm)))
    return GpuCode(
        widest, frozenset.intersection(*(code.ptx for code in codes if code.sm == widest))
    )


def containers(section: memoryview) -> list[GpuCode]:
    """Return every fat binary of a `.nv_fatbin` section. Raise ValueError if one is cut off."""
    codes, end = [], 0
    while match := _MAGIC.search(section, end):
        at = match.start()
        if at + _CONTAINER.size > len(section):
            raise ValueError(f"a fat binary is cut off at byte {at}")
        _, _, header, payload = _CONTAINER.unpack_from(section, at)
        end = at + header + payload
        if header < _CONTAINER.size or end > len(section):
            raise ValueError(f"the fat binary at byte {at} is cut off")
        codes.append(_code(section, at + header, end))
    return codes


def _code(section: memoryview, at: int, end: int) -> GpuCode:
    architectures: dict[int, set[int]] = {_PTX: set(), _MACHINE_CODE: set()}
    while at < end:
        if at + _ENTRY.size > end:
            raise ValueError(f"an entry of a fat binary is cut off at byte {at}")
        kind, _, header, payload, architecture = _ENTRY.unpack_from(section, at)
        if header < _ENTRY.size or at + header + payload > end:
            raise ValueError(f"the entry of a fat binary at byte {at} is cut off")
        architectures.get(kind, set()).add(architecture)
        at += header + payload
    return GpuCode(frozenset(architectures[_MACHINE_CODE]), frozenset(architectures[_PTX]))
