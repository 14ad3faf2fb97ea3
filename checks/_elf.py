"""Reads ELF files with the standard library: symbols, needed libraries and GPU code."""

from __future__ import annotations

import mmap
import struct
from functools import cached_property
from pathlib import Path

_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_VERSION = struct.Struct("<H")
_DYNAMIC = struct.Struct("<qQ")
_NEEDED = 1
_UNDEFINED, _WEAK, _ANY_VERSION, _LOCAL = 0, 2, 1, 0
# A section without content in the file, such as .bss: its size says nothing about the file's.
_NOBITS = 8


class ElfFile:
    """A mapped 64-bit ELF file of which only what is asked for is read; ValueError if damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as stream:
                self._data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:  # an empty file cannot be mapped
            raise ValueError(f"{path.name} cannot be read: {error}") from error
        self._sections = self._read_sections()

    @cached_property
    def needed(self) -> frozenset[str]:
        """The libraries that the linker loads beside it."""
        names = bytes(self._section(".dynstr"))
        return frozenset(
            self._text(names, value)
            for tag, value in self._rows(_DYNAMIC, ".dynamic")
            if tag == _NEEDED
        )

    @cached_property
    def defined(self) -> frozenset[str]:
        return frozenset(name for name, defined, _ in self._symbols if defined)

    @cached_property
    def undefined(self) -> frozenset[str]:
        """The symbols that some library must define.

        Weak symbols may be missing. Versioned ones name their library, as those of libc do.
        """
        return frozenset(
            name for name, defined, required in self._symbols if required and not defined
        )

    @property
    def fatbin(self) -> memoryview:
        """The GPU code; empty if there is none."""
        return self._section(".nv_fatbin")

    @cached_property
    def _symbols(self) -> list[tuple[str, bool, bool]]:
        """Name, whether it is defined here, and whether any library must define it."""
        names = bytes(self._section(".dynstr"))
        rows = self._rows(_SYMBOL, ".dynsym")
        return [
            (
                self._text(names, row[0]),
                row[3] != _UNDEFINED,
                row[1] >> 4 != _WEAK and version & 0x7FFF <= _ANY_VERSION,
            )
            for row, (version,) in zip(
                rows, self._rows(_VERSION, ".gnu.version") or [(0,)] * len(rows), strict=True
            )
            if row[0] and row[1] >> 4 != _LOCAL
        ]

    def _read_sections(self) -> dict[str, tuple[int, int]]:
        """Return start and size of each section by its name."""
        data, name = self._data, self.path.name
        if len(data) < _HEADER.size or bytes(data[:6]) != b"\x7fELF\x02\x01":
            raise ValueError(f"{name} is no shared object of 64 bits")
        *_, start, _, _, _, _, size, count, names_at = _HEADER.unpack_from(data)
        if size != _SECTION.size or start + size * count > len(data) or names_at >= max(count, 1):
            raise ValueError(f"{name} is cut off: its section table lies beyond its end")
        rows = [_SECTION.unpack_from(data, start + size * number) for number in range(count)]
        if max((row[4] + row[5] for row in rows if row[1] != _NOBITS), default=0) > len(data):
            raise ValueError(f"{name} is cut off: a section lies beyond its end")
        offset, length = rows[names_at][4:6] if rows else (0, 0)
        names = bytes(data[offset : offset + length])
        return {self._text(names, row[0]): (row[4], row[5]) for row in rows if row[1] != _NOBITS}

    def _rows(self, shape: struct.Struct, name: str) -> list[tuple[int, ...]]:
        section = self._section(name)
        if len(section) % shape.size:
            raise ValueError(f"{self.path.name} is damaged: {name} ends within an entry")
        return list(shape.iter_unpack(section))

    def _section(self, name: str) -> memoryview:
        start, size = self._sections.get(name, (0, 0))
        return self._data[start : start + size]

    def _text(self, names: bytes, at: int) -> str:
        end = names.find(b"\0", at)
        if end < 0:
            raise ValueError(f"{self.path.name} is damaged: a name lies outside of its table")
        return names[at:end].decode("utf-8", "replace")
