"""Whether SELinux enforces its policy; where it is absent the kernel has none."""

from __future__ import annotations

from provision.host._model import Fact, File, Readings

_ENFORCE = File("/sys/fs/selinux/enforce")
_STATES = {"0": "permissive", "1": "enforcing"}


def parse(readings: Readings) -> str:
    state = readings.text(_ENFORCE).strip()
    if state not in _STATES:
        raise ValueError(f"neither 0 nor 1: {state[:20]!r}")
    return _STATES[state]


FACT = Fact[str](name="selinux", title="SELinux", sources=(_ENFORCE,), parse=parse)
