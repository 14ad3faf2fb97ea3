"""Read NVIDIA fat binaries: the architectures of their machine code and PTX."""

from __future__ import annotations

import re
import struct
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAGIC = re.compile(re.escape(struct.pack("<I", 0xBA55ED50)))
_CONTAINER = struct.Struct("<IHHQ")  # magic, version, header size, payload size
# kind, (unknown), header size, padded payload size, ..., architecture
_ENTRY = struct.Struct("<HHIQ12xI")
_PTX, _SASS = 1, 2


class FatBinary(msgspec.Struct, frozen=True, kw_only=True):
    """One fat binary: the architectures (90 for 9.0) of its machine code (sm) and of its PTX."""

    sm: frozenset[int] = frozenset()
    ptx: frozenset[int] = frozenset()


def fat_binaries(section: bytes | memoryview) -> list[FatBinary]:
    """Return every fat binary of a `.nv_fatbin` section, in order.

    Raise ValueError if one is cut off.
    """
    read_containers = []
    match = _MAGIC.search(section)
    while match:
        at = match.start()
        if at + _CONTAINER.size > len(section):
            raise ValueError(f"fat binary header cut off at byte {at}")
        _, _, header, payload = _CONTAINER.unpack_from(section, at)
        start, end = at + header, at + header + payload
        if header < _CONTAINER.size or end > len(section):
            raise ValueError(f"fat binary at byte {at} is cut off: {header} + {payload} bytes")
        read_containers.append(_container(section, start, end))
        match = _MAGIC.search(section, end)
    return read_containers


def _container(section: bytes | memoryview, at: int, end: int) -> FatBinary:
    architectures: dict[int, set[int]] = {_PTX: set(), _SASS: set()}
    while at < end:
        if at + _ENTRY.size > end:
            raise ValueError(f"fat binary entry cut off at byte {at}")
        kind, _, header, payload, architecture = _ENTRY.unpack_from(section, at)
        if header < _ENTRY.size or at + header + payload > end:
            raise ValueError(
                f"fat binary entry at byte {at} is cut off: {header} + {payload} bytes"
            )
        # Other kinds hold intermediate code for the linker; no GPU runs it.
        architectures.get(kind, set()).add(architecture)
        at += header + payload
    return FatBinary(sm=frozenset(architectures[_SASS]), ptx=frozenset(architectures[_PTX]))


def common_code(all_containers: Sequence[FatBinary]) -> FatBinary:
    """Return the architectures of the kernels that every GPU needs.

    A file also holds special kernels for some architectures only: CMake intersects what a kernel
    supports with the build's list. So the widest set of machine code is the build's own list; an
    architecture that is only in narrower sets does not serve a GPU. PTX counts if all general
    kernels have it.
    """
    if not all_containers:
        return FatBinary()
    counts = Counter(container.sm for container in all_containers)
    widest = max(counts, key=lambda sm: (len(sm), counts[sm], sorted(sm)))
    return FatBinary(
        sm=widest,
        ptx=frozenset.intersection(
            *(container.ptx for container in all_containers if container.sm == widest)
        ),
    )


def capabilities(architectures: frozenset[int]) -> tuple[str, ...]:
    """Return architectures as compute capabilities, ascending: 90 is "9.0", 103 is "10.3"."""
    return tuple(
        f"{architecture // 10}.{architecture % 10}" for architecture in sorted(architectures)
    )
