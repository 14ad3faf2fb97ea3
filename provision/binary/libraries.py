"""The symbols and libraries that a folder such as torch/lib offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from provision.binary.elf import SharedObject

if TYPE_CHECKING:
    from pathlib import Path


class Libraries(msgspec.Struct, frozen=True, kw_only=True):
    """`names`: the libraries that are loaded with these, with those that they need."""

    defined: frozenset[str]
    names: frozenset[str]


def read(folder: Path) -> Libraries:
    """Read the libraries of a folder. Raise ValueError if one is damaged or there are none."""
    libraries = [
        SharedObject.mapped(path) for path in sorted(folder.glob("*.so*")) if path.is_file()
    ]
    if not libraries:
        raise ValueError(f"{folder}: contains no shared libraries")
    return Libraries(
        defined=frozenset[str]().union(*(library.defined for library in libraries)),
        names=frozenset(library.name for library in libraries).union(
            *(library.needed for library in libraries)
        ),
    )
