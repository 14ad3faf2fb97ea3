"""The file system and free space of every path that will be written."""

from __future__ import annotations

import msgspec

from provision.host._model import Fact, Probe, Readings

_DISKS = Probe("disks")


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """One path, in GiB; free space as available to us.

    A path that does not exist yet has the values of its nearest parent. Of the mount options only
    ro, noexec, nosuid and nodev are kept.
    """

    path: str
    exists: bool
    writable: bool
    type: str
    total_gb: float
    free_gb: float
    options: tuple[str, ...] = ()


class _Space(msgspec.Struct, frozen=True):
    path: str
    exists: bool
    writable: bool
    type: str
    total: int
    free: int
    options: tuple[str, ...]


def parse(readings: Readings) -> dict[str, Disk]:
    return {
        role: Disk(
            path=disk.path,
            exists=disk.exists,
            writable=disk.writable,
            type=disk.type,
            total_gb=round(disk.total / 2**30, 1),
            free_gb=round(disk.free / 2**30, 1),
            options=disk.options,
        )
        for role, disk in msgspec.json.decode(readings.text(_DISKS), type=dict[str, _Space]).items()
    }


FACT = Fact[dict[str, Disk]](
    title="Disk space", sources=(_DISKS,), parse=parse, moving=("free_gb", "exists")
)
