"""The release of the running Linux kernel."""

from __future__ import annotations

from provision.host._model import Fact, File, Readings

_RELEASE = File("/proc/sys/kernel/osrelease")


def parse(readings: Readings) -> str:
    release = readings.text(_RELEASE).strip()
    if not release[:1].isdigit() or len(release.split()) != 1:
        raise ValueError(f"no kernel release: {release[:80]!r}")
    return release


FACT = Fact[str](sources=(_RELEASE,), parse=parse)
