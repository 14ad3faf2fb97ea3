"""What a folder of shared libraries, such as torch/lib, offers to what is linked with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from provision.binary.elf import SharedObject

if TYPE_CHECKING:
    from pathlib import Path


class Libraries(msgspec.Struct, frozen=True, kw_only=True):
    """`names`: the libraries that are loaded wherever these are, those that they need themselves among them."""

    defined: frozenset[str]
    names: frozenset[str]


def read(folder: Path) -> Libraries:
    """Only names are read, of libraries of any size; ValueError where one is damaged or there are none."""
    found = [SharedObject.mapped(path) for path in sorted(folder.glob("*.so*")) if path.is_file()]
    if not found:
        raise ValueError(f"{folder}: no shared libraries are there")
    return Libraries(
        defined=frozenset[str]().union(*(each.defined for each in found)),
        names=frozenset(each.name for each in found).union(*(each.needed for each in found)),
    )
