"""The version of the C library, which decides what wheels can be installed."""

from __future__ import annotations

import re

from provision.host._model import Command, Fact, Files, Missing, Readings, Unread

_GETCONF = Command(("getconf", "GNU_LIBC_VERSION"))
_LDD = Command(("ldd", "--version"))
_MUSL = Files(("/lib/ld-musl-*.so.1",))


def parse(readings: Readings) -> str:
    said = readings.optional(_GETCONF)
    if said is not None and (match := re.search(r"glibc\s+(\d+\.\d+)", said)):
        return match[1]
    _refuse_musl(readings)
    first = readings.text(_LDD).partition("\n")[0]
    if match := re.search(r"(?:^|\s)(\d+\.\d+)\S*\s*$", first):
        return match[1]
    raise ValueError(f"no version in {first[:80]!r}")


def _refuse_musl(readings: Readings) -> None:
    """musl's ldd knows no --version: it prints its name and version with its usage, and fails."""
    words = readings.get(_LDD).text
    if readings.optional(_MUSL) is None and "musl libc" not in words:
        return
    match = re.search(r"^Version (\d+\.\d+(?:\.\d+)?)", words, re.MULTILINE)
    name = f"musl libc {match[1]}" if match else "musl libc"
    raise Unread(Missing(why="absent", detail=f"{name}: vLLM's wheels need glibc"))


FACT = Fact[str](name="glibc", title="C library", sources=(_GETCONF, _LDD, _MUSL), parse=parse)
