"""The version of the C library, which decides which wheels can be installed."""

from __future__ import annotations

import re

from provision.host._model import Command, Fact, Files, Missing, Readings, Unread

_GETCONF = Command(("getconf", "GNU_LIBC_VERSION"))
_LDD = Command(("ldd", "--version"))
_MUSL = Files(("/lib/ld-musl-*.so.1",))


def parse(readings: Readings) -> str:
    output = readings.optional(_GETCONF)
    if output is not None and (match := re.search(r"glibc\s+(\d+\.\d+)", output)):
        return match[1]
    _refuse_musl(readings)
    first = readings.text(_LDD).partition("\n")[0]
    if match := re.search(r"(?:^|\s)(\d+\.\d+)\S*\s*$", first):
        return match[1]
    raise ValueError(f"no version in {first[:80]!r}")


def _refuse_musl(readings: Readings) -> None:
    """Raise Unread on musl.

    Its ldd has no --version: it prints its name with its usage, and fails.
    """
    output = readings.get(_LDD).text
    if readings.optional(_MUSL) is None and "musl libc" not in output:
        return
    match = re.search(r"^Version (\d+\.\d+(?:\.\d+)?)", output, re.MULTILINE)
    name = f"musl libc {match[1]}" if match else "musl libc"
    raise Unread(Missing(why="absent", detail=f"{name}: vLLM's wheels need glibc"))


FACT = Fact[str](title="C library", sources=(_GETCONF, _LDD, _MUSL), parse=parse)
