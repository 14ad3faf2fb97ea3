"""The machine that wheels are built for: x86_64 or aarch64, as the kernel names it."""

from __future__ import annotations

from provision.host._model import Command, Fact, Readings

_UNAME = Command(("uname", "-m"))
_OTHER_NAMES = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}


def parse(readings: Readings) -> str:
    name = readings.text(_UNAME).strip().lower()
    if not name.replace("_", "").isalnum() or not name.isascii():
        raise ValueError(f"no machine name: {name[:80]!r}")
    return _OTHER_NAMES.get(name, name)


FACT = Fact[str](name="machine", title="Machine", sources=(_UNAME,), parse=parse)
