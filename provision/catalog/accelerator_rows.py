"""The rows about accelerators and systems that no plan is made for."""

from __future__ import annotations

import msgspec

from provision.catalog.row import Row


class AcceleratorKind(Row, frozen=True, kw_only=True):
    """A kind of accelerator that is not planned for.

    `archs` are the architectures that vLLM's builds for it have code for (empty: not compared),
    `arch_of` those of products, by a pattern of their names, and `devices` its products by PCI id.
    """

    kind: str
    name: str
    issue: str = ""
    archs: dict[str, str] = msgspec.field(default_factory=dict)
    arch_of: dict[str, str] = msgspec.field(default_factory=dict)
    devices: dict[str, str] = msgspec.field(default_factory=dict)


class OfficialWay(Row, frozen=True, kw_only=True):
    """A way to serve a model on such an accelerator or system, and what it needs.

    A `fallback` is for hosts where no other way of the kind is possible.
    """

    kind: str
    what: str
    how: str
    machines: tuple[str, ...] = ()
    glibc: str | None = None
    device_files: str = ""
    archs: tuple[str, ...] = ()
    fallback: bool = False
