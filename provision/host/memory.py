"""Memory: total, available, and what our control group may use and uses already."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

import msgspec

from provision.host._model import Fact, File, Probe, Readings

_MEMINFO = File("/proc/meminfo")
_CGROUP = Probe("cgroup_memory")


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """In GiB.

    `limit_gb` is the tightest limit of our control group and its parents; None means no limit.

    `group_free_gb` is what these limits still allow, as far as their use can be read.
    """

    total_gb: float
    available_gb: float | None = None
    limit_gb: float | None = None
    group_free_gb: float | None = None

    @property
    def allowed_gb(self) -> float | None:
        """Return what our control group may still take, or its limit if its use is unknown."""
        return self.limit_gb if self.group_free_gb is None else self.group_free_gb


class _MemoryGroup(msgspec.Struct, frozen=True):
    limits: list[str] = []
    used: list[int | None] = []  # beside each limit; recordings of older versions lack it


def parse(readings: Readings) -> Memory:
    known = {
        name: int(number)
        for name, number in re.findall(r"(?m)^(\w+):\s+(\d+) kB", readings.text(_MEMINFO))
    }
    if not known.get("MemTotal"):
        raise ValueError("no MemTotal")
    limits = _limits(readings.optional(_CGROUP), known["MemTotal"] * 1024)
    available = known.get(
        "MemAvailable", known.get("MemFree")
    )  # Linux before 3.14 has only MemFree
    return Memory(
        total_gb=_gib(known["MemTotal"] * 1024),
        available_gb=None if available is None else _gib(available * 1024),
        limit_gb=_least(limit for limit, _ in limits),
        group_free_gb=_least(max(0, limit - used) for limit, used in limits if used is not None),
    )


def _limits(group: str | None, total: int) -> list[tuple[int, int | None]]:
    """Return each limit with its use; "max" or a number beyond all memory means no limit."""
    group_limits = msgspec.json.decode(group, type=_MemoryGroup) if group else _MemoryGroup()
    pairs = itertools.zip_longest(
        group_limits.limits, group_limits.used[: len(group_limits.limits)]
    )
    return [(int(text), used) for text, used in pairs if text.isdecimal() and int(text) < total]


def _least(numbers: Iterable[int]) -> float | None:
    least = min(numbers, default=None)
    return None if least is None else _gib(least)


def _gib(number: int) -> float:
    return round(number / 2**30, 1)


FACT = Fact[Memory](
    sources=(_MEMINFO, _CGROUP),
    parse=parse,
    moving=("available_gb", "group_free_gb"),
)
