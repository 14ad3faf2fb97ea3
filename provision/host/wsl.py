"""Whether this Linux runs inside Windows (WSL), where the driver is the one of Windows."""

from __future__ import annotations

from provision.host._model import Fact, File, Readings

_RELEASE = File("/proc/sys/kernel/osrelease")


def parse(readings: Readings) -> bool:
    release = readings.text(_RELEASE).strip().lower()
    if not release:
        raise ValueError("the kernel names no release")
    return "microsoft" in release or "wsl" in release


FACT = Fact[bool](name="wsl", title="Windows Subsystem for Linux", sources=(_RELEASE,), parse=parse)
