"""The NVIDIA driver's device files, and whether this user may open them."""

from __future__ import annotations

import msgspec

from provision.host._model import Fact, Probe, Readings

_DEVICES = Probe("device_files")


class DeviceFile(msgspec.Struct, frozen=True, kw_only=True):
    """`usable`: its mode lets us read and write; the rules of a container may still forbid it."""

    path: str
    usable: bool


def parse(readings: Readings) -> tuple[DeviceFile, ...]:
    return msgspec.json.decode(readings.text(_DEVICES), type=tuple[DeviceFile, ...])


FACT = Fact[tuple[DeviceFile, ...]](sources=(_DEVICES,), parse=parse)
