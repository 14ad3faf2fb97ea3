"""The resource limits that matter to a server on GPUs: locked memory, open files, processes."""

from __future__ import annotations

import re

import msgspec

from provision.host._model import Fact, File, Readings

_LIMITS = File("/proc/self/limits")
_NAMES = {"memlock": "Max locked memory", "nofile": "Max open files", "nproc": "Max processes"}


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """None means unlimited."""

    soft: int | None
    hard: int | None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`memlock` is in bytes."""

    memlock: Limit
    nofile: Limit
    nproc: Limit


def parse(readings: Readings) -> Limits:
    text = readings.text(_LIMITS)
    return Limits(**{name: _limit(text, title) for name, title in _NAMES.items()})


def _limit(text: str, title: str) -> Limit:
    match = re.search(rf"(?m)^{title}\s+([0-9]+|unlimited)\s+([0-9]+|unlimited)\b", text)
    if match is None:
        raise ValueError(f"no line {title!r}")
    soft, hard = (None if word == "unlimited" else int(word) for word in match.groups())
    return Limit(soft=soft, hard=hard)


FACT = Fact[Limits](title="Resource limits", sources=(_LIMITS,), parse=parse)
