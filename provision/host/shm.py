"""The size of /dev/shm, where vLLM's workers exchange tensors; containers often have 64 MiB of it."""

from __future__ import annotations

import msgspec

from provision.host._model import Fact, Probe, Readings

_SHM = Probe("shm")


class Shm(msgspec.Struct, frozen=True, kw_only=True):
    """In GiB."""

    total_gb: float
    free_gb: float


class _Seen(msgspec.Struct, frozen=True):
    total: int
    free: int


def parse(readings: Readings) -> Shm:
    seen = msgspec.json.decode(readings.text(_SHM), type=_Seen)
    return Shm(total_gb=round(seen.total / 2**30, 3), free_gb=round(seen.free / 2**30, 3))


FACT = Fact[Shm](name="shm", title="Shared memory", sources=(_SHM,), parse=parse, moving=("free_gb",))
