"""The size of /dev/shm, through which vLLM's workers exchange tensors."""

from __future__ import annotations

import msgspec

from provision.host._model import Fact, Probe, Readings

_SHM = Probe("shm")


class Shm(msgspec.Struct, frozen=True, kw_only=True):
    """In GiB."""

    total_gb: float
    free_gb: float


class _Size(msgspec.Struct, frozen=True):
    total: int
    free: int


def parse(readings: Readings) -> Shm:
    size = msgspec.json.decode(readings.text(_SHM), type=_Size)
    return Shm(total_gb=round(size.total / 2**30, 3), free_gb=round(size.free / 2**30, 3))


FACT = Fact[Shm](title="Shared memory", sources=(_SHM,), parse=parse, moving=("free_gb",))
