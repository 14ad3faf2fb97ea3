"""True if this Linux runs inside Windows (WSL), whose driver is that of Windows."""

from __future__ import annotations

from provision.host._model import Fact, File, Readings

_RELEASE = File("/proc/sys/kernel/osrelease")


def parse(readings: Readings) -> bool:
    release = readings.text(_RELEASE).strip().lower()
    if not release:
        raise ValueError("the kernel release is empty")
    return "microsoft" in release or "wsl" in release


FACT = Fact[bool](title="Windows Subsystem for Linux", sources=(_RELEASE,), parse=parse)
