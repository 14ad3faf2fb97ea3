"""The file system and free space of every path that will be written."""

from __future__ import annotations

import msgspec

from provision.host._model import Fact, Probe, Readings

_DISKS = Probe("disks")


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """`options` holds of the mount's options only ro, noexec, nosuid and nodev; sizes in GiB, free as for us.

    A path that does not exist yet is judged by its nearest parent.
    """

    path: str
    exists: bool
    writable: bool
    type: str
    total_gb: float
    free_gb: float
    options: tuple[str, ...] = ()


class _Seen(msgspec.Struct, frozen=True):
    path: str
    exists: bool
    writable: bool
    type: str
    total: int
    free: int
    options: tuple[str, ...]


def parse(readings: Readings) -> dict[str, Disk]:
    seen = msgspec.json.decode(readings.text(_DISKS), type=dict[str, _Seen])
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
        for role, disk in seen.items()
    }


FACT = Fact[dict[str, Disk]](
    name="disks", title="Disk space", sources=(_DISKS,), parse=parse, moving=("free_gb", "exists")
)
