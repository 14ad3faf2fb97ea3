"""Reads shared objects: the libraries and symbol versions they need, their symbols, their fat binaries."""

from __future__ import annotations

import io
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from elftools.elf.elffile import ELFFile

if TYPE_CHECKING:
    from collections.abc import Iterator

_MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}
_SMALLEST_VERSION_ENTRY = 16  # bytes of one Elf64_Verneed


class SharedObject:
    """An ELF shared object in memory; every property raises ValueError, with the file's name, on damage."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name, self.data = name, data
        with self._damage_named():
            self._elf = ELFFile(io.BytesIO(data))

    @cached_property
    def machine(self) -> str:
        """x86_64, aarch64, or the ELF name of another machine."""
        with self._damage_named():
            machine = str(self._elf["e_machine"])
        return _MACHINES.get(machine, machine)

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """The libraries that the loader must find, as the file names them."""
        with self._damage_named():
            dynamic = self._section(".dynamic")
            if dynamic is None:
                return ()
            return tuple(tag.needed for tag in dynamic.iter_tags("DT_NEEDED"))

    @cached_property
    def versions(self) -> frozenset[str]:
        """Every symbol version that other libraries must provide, such as GLIBC_2.29."""
        with self._damage_named():
            section = self._section(".gnu.version_r")
            if section is None:
                return frozenset()
            if section.num_versions() * _SMALLEST_VERSION_ENTRY > section["sh_size"]:
                raise ValueError("more symbol versions than fit")
            return frozenset(entry.name for _, entries in section.iter_versions() for entry in entries)

    def highest(self, prefix: str) -> str | None:
        """The highest version required under a prefix: "2.29" for GLIBC, "3.4.30" for GLIBCXX."""
        versions = (version.removeprefix(f"{prefix}_") for version in self.versions)
        numbers = [version for version in versions if version.replace(".", "").isdecimal()]
        return max(numbers, key=lambda version: [int(part) for part in version.split(".")], default=None)

    @cached_property
    def undefined(self) -> frozenset[str]:
        """The symbols that the file expects from elsewhere."""
        return frozenset(name for name, section in self._symbols() if section == "SHN_UNDEF")

    @cached_property
    def defined(self) -> frozenset[str]:
        """The symbols that the file offers."""
        return frozenset(name for name, section in self._symbols() if section != "SHN_UNDEF")

    @cached_property
    def fatbin(self) -> bytes:
        """The section that holds GPU code; empty where there is none."""
        with self._damage_named():
            section = self._section(".nv_fatbin")
            return b"" if section is None else bytes(section.data())

    def _symbols(self) -> Iterator[tuple[str, str | int]]:
        with self._damage_named():
            section = self._section(".dynsym")
            for symbol in section.iter_symbols() if section is not None else ():
                if symbol.name:
                    yield symbol.name, symbol["st_shndx"]

    def _section(self, name: str) -> Any:  # noqa: ANN401 - each kind of section has methods of its own
        return self._elf.get_section_by_name(name)

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # pyelftools raises a dozen types on damage, AssertionError among them
            why = str(error) or type(error).__name__
            raise ValueError(f"{self.name}: not a readable ELF file: {why}") from error
