"""Read shared objects: needed libraries and symbol versions, symbols, fat binaries."""

from __future__ import annotations

import io
import mmap
import struct
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}
_SMALLEST_VERSION_ENTRY = 16  # bytes of one Elf64_Verneed
_UNDEFINED, _WEAK, _ANY_VERSION = 0, 2, 1


class _Symbol(NamedTuple):
    name: str
    defined: bool
    weak: bool
    versioned: bool

    @property
    def needed(self) -> bool:
        return not self.defined and not self.weak


class SharedObject:
    """An ELF shared object in memory or mapped.

    Every property raises ValueError if the file is damaged.
    """

    def __init__(self, data: bytes | mmap.mmap, name: str) -> None:
        self.name, self.data = name, data
        with self._damage_named():
            stream: Any = io.BytesIO(data) if isinstance(data, bytes) else data
            from elftools.elf.elffile import ELFFile  # it takes longer than a run without work

            self._elf = ELFFile(stream)

    @classmethod
    def mapped(cls, path: Path) -> SharedObject:
        """Map a file of any size; only what is asked for is read."""
        try:
            with path.open("rb") as stream:
                return cls(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), path.name)
        except (OSError, ValueError) as error:  # an empty file cannot be mapped
            raise ValueError(f"{path.name}: not a readable ELF file: {error}") from error

    @cached_property
    def machine(self) -> str:
        """Return x86_64, aarch64, or the ELF name of another machine."""
        with self._damage_named():
            machine = str(self._elf["e_machine"])
        return _MACHINES.get(machine, machine)

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """Return the libraries that the loader must find."""
        with self._damage_named():
            dynamic = self._section(".dynamic")
            if dynamic is None:
                return ()
            return tuple(tag.needed for tag in dynamic.iter_tags("DT_NEEDED"))

    @cached_property
    def versions(self) -> frozenset[str]:
        """Return every symbol version that other libraries must provide, such as GLIBC_2.29."""
        with self._damage_named():
            section = self._section(".gnu.version_r")
            if section is None:
                return frozenset()
            if section.num_versions() * _SMALLEST_VERSION_ENTRY > section["sh_size"]:
                raise ValueError("more symbol versions than fit")
            return frozenset(
                entry.name for _, entries in section.iter_versions() for entry in entries
            )

    def highest(self, prefix: str) -> str | None:
        """Return the highest required version under a prefix: "2.29" for GLIBC."""
        versions = (version.removeprefix(f"{prefix}_") for version in self.versions)
        return max(
            [version for version in versions if version.replace(".", "").isdecimal()],
            key=lambda version: [int(part) for part in version.split(".")],
            default=None,
        )

    @cached_property
    def undefined(self) -> frozenset[str]:
        """Return the symbols that other libraries must provide; weak ones are optional."""
        return frozenset(symbol.name for symbol in self._symbols if symbol.needed)

    @cached_property
    def unversioned(self) -> frozenset[str]:
        """Return undefined symbols that name no library version: any library may provide them."""
        return frozenset(
            symbol.name for symbol in self._symbols if symbol.needed and not symbol.versioned
        )

    @cached_property
    def defined(self) -> frozenset[str]:
        return frozenset(symbol.name for symbol in self._symbols if symbol.defined)

    @cached_property
    def fatbin(self) -> bytes | memoryview:
        """Return the section with GPU code, not copied, since it may be most of the file."""
        with self._damage_named():
            section = self._section(".nv_fatbin")
            if section is None:
                return b""
            start, size = section["sh_offset"], section["sh_size"]
            return memoryview(self.data)[start : start + size]

    @cached_property
    def _symbols(self) -> list[_Symbol]:
        """Unpack the symbol table. torch has 100,000 symbols, too many for pyelftools."""
        with self._damage_named():
            section, versions = self._section(".dynsym"), self._section(".gnu.version")
            if section is None:
                return []
            if self._elf.elfclass != 64 or not self._elf.little_endian:
                raise ValueError("not a 64-bit little-endian file")
            rows = list(struct.iter_unpack("<IBBHQQ", section.data()))
            version_ids = (
                struct.unpack(f"<{len(rows)}H", versions.data())
                if versions is not None
                else (0,) * len(rows)
            )
            names = self._elf.get_section(section["sh_link"]).data()
            return [
                _Symbol(
                    names[row[0] : names.index(b"\0", row[0])].decode(),
                    defined=row[3] != _UNDEFINED,
                    weak=row[1] >> 4 == _WEAK,
                    versioned=version > _ANY_VERSION,
                )
                for row, version in zip(rows, version_ids, strict=True)
                if row[0]
            ]

    def _section(self, name: str) -> Any:  # noqa: ANN401 - each kind of section has methods of its own
        return self._elf.get_section_by_name(name)

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # pyelftools raises a dozen types on damage
            why = str(error) or type(error).__name__
            raise ValueError(f"{self.name}: not a readable ELF file: {why}") from error
