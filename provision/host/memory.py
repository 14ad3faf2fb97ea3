"""Memory: what the system has, what is available, and what our own control group may use."""

from __future__ import annotations

import re

import msgspec

from provision.host._model import Fact, File, Probe, Readings

_MEMINFO = File("/proc/meminfo")
_CGROUP = Probe("cgroup_memory")


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """In GiB. `limit_gb` is the tightest limit of our control group and its parents; None: no limit."""

    total_gb: float
    available_gb: float | None = None
    limit_gb: float | None = None


class _Group(msgspec.Struct, frozen=True):
    limits: list[str] = []


def parse(readings: Readings) -> Memory:
    known = {name: int(number) for name, number in re.findall(r"(?m)^(\w+):\s+(\d+) kB", readings.text(_MEMINFO))}
    if not known.get("MemTotal"):
        raise ValueError("no MemTotal")
    available = known.get("MemAvailable", known.get("MemFree"))  # before Linux 3.14 only MemFree
    return Memory(
        total_gb=_gib(known["MemTotal"] * 1024),
        available_gb=None if available is None else _gib(available * 1024),
        limit_gb=_limit(readings.optional(_CGROUP), known["MemTotal"] * 1024),
    )


def _limit(group: str | None, total: int) -> float | None:
    """No limit is written "max", or as a number beyond all memory."""
    texts = msgspec.json.decode(group, type=_Group).limits if group else []
    limits = [int(text) for text in texts if text.isdecimal() and int(text) < total]
    return _gib(min(limits)) if limits else None


def _gib(number: int) -> float:
    return round(number / 2**30, 1)


FACT = Fact[Memory](name="memory", title="Memory", sources=(_MEMINFO, _CGROUP), parse=parse, moving=("available_gb",))
