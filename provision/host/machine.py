"""The processor type that wheels are built for, as the kernel names it: x86_64 or aarch64."""

from __future__ import annotations

from provision.host._model import Command, Fact, Readings

_UNAME = Command(("uname", "-m"))
_OTHER_NAMES = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}


def parse(readings: Readings) -> str:
    name = readings.text(_UNAME).strip().lower()
    if not name.replace("_", "").isalnum() or not name.isascii():
        raise ValueError(f"no machine name: {name[:80]!r}")
    return _OTHER_NAMES.get(name, name)


FACT = Fact[str](sources=(_UNAME,), parse=parse)
