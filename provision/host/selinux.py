"""The mode of SELinux: enforcing or permissive; missing if the kernel has none."""

from __future__ import annotations

from provision.host._model import Fact, File, Readings

_ENFORCE = File("/sys/fs/selinux/enforce")
_STATES = {"0": "permissive", "1": "enforcing"}


def parse(readings: Readings) -> str:
    state = readings.text(_ENFORCE).strip()
    if state not in _STATES:
        raise ValueError(f"expected 0 or 1: {state[:20]!r}")
    return _STATES[state]


FACT = Fact[str](title="SELinux", sources=(_ENFORCE,), parse=parse)
