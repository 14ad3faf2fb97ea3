"""Memory: what the system has, what is available, and what our own control group may use and uses already."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

import msgspec

from provision.host._model import Fact, File, Probe, Readings

_MEMINFO = File("/proc/meminfo")
_CGROUP = Probe("cgroup_memory")


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """In GiB. `limit_gb` is the tightest limit of our control group and its parents; None: no limit.

    `group_free_gb`: what these limits still allow to be taken, as far as their use can be read.
    """

    total_gb: float
    available_gb: float | None = None
    limit_gb: float | None = None
    group_free_gb: float | None = None

    @property
    def allowed_gb(self) -> float | None:
        """What our control group may still take, or may take at all where nobody knows its use."""
        return self.limit_gb if self.group_free_gb is None else self.group_free_gb


class _Group(msgspec.Struct, frozen=True):
    limits: list[str] = []
    used: list[int | None] = []  # beside each limit; recordings of older versions have none


def parse(readings: Readings) -> Memory:
    known = {name: int(number) for name, number in re.findall(r"(?m)^(\w+):\s+(\d+) kB", readings.text(_MEMINFO))}
    if not known.get("MemTotal"):
        raise ValueError("no MemTotal")
    limits = _limits(readings.optional(_CGROUP), known["MemTotal"] * 1024)
    available = known.get("MemAvailable", known.get("MemFree"))  # before Linux 3.14 only MemFree
    return Memory(
        total_gb=_gib(known["MemTotal"] * 1024),
        available_gb=None if available is None else _gib(available * 1024),
        limit_gb=_least(limit for limit, _ in limits),
        group_free_gb=_least(max(0, limit - used) for limit, used in limits if used is not None),
    )


def _limits(group: str | None, total: int) -> list[tuple[int, int | None]]:
    """Each limit with its use. None is written "max", or as a number beyond all memory."""
    seen = msgspec.json.decode(group, type=_Group) if group else _Group()
    pairs = itertools.zip_longest(seen.limits, seen.used[: len(seen.limits)])
    return [(int(text), used) for text, used in pairs if text.isdecimal() and int(text) < total]


def _least(numbers: Iterable[int]) -> float | None:
    least = min(numbers, default=None)
    return None if least is None else _gib(least)


def _gib(number: int) -> float:
    return round(number / 2**30, 1)


FACT = Fact[Memory](
    name="memory",
    title="Memory",
    sources=(_MEMINFO, _CGROUP),
    parse=parse,
    moving=("available_gb", "group_free_gb"),
)
