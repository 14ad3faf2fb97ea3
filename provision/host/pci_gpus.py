"""NVIDIA GPUs on the PCI bus, with or without a driver."""

from __future__ import annotations

import re

import msgspec

from provision.host._model import Fact, Files, Readings

SOURCE = Files(("/sys/bus/pci/devices/*/uevent",))

_NVIDIA = "10DE"
_DISPLAY = "3"  # the first digit of a six-digit class 03xxxx: VGA, 3D and other display controllers
_BRIDGE_OTHER = "680"  # 0680xx: the class of an NVSwitch
_BUS_ID = re.compile(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])")


class PciGpu(msgspec.Struct, frozen=True, kw_only=True):
    """A display or 3D controller of vendor 10de; `driver` is the kernel driver bound to it."""

    bus_id: str
    device_id: str
    driver: str | None = None


def normalise(bus_id: str) -> str | None:
    """Return the kernel's form of a PCI address: NVML's "00000000:17:00.0" is "0000:17:00.0"."""
    match = _BUS_ID.search(bus_id)
    return f"{int(match[1], 16):04x}:{match[2].lower()}" if match else None


def all_devices(readings: Readings) -> list[dict[str, str]]:
    return [
        dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        for _, text in sorted(
            msgspec.json.decode(readings.text(SOURCE), type=dict[str, str]).items()
        )
    ]


def nvidia_devices(readings: Readings) -> list[dict[str, str]]:
    return [
        device
        for device in all_devices(readings)
        if device.get("PCI_ID", "").upper().startswith(f"{_NVIDIA}:")
    ]


def nvswitches(readings: Readings) -> int:
    """Count the NVSwitches on the bus; those of NVLink 5 do not show."""
    if readings.optional(SOURCE) is None:
        return 0
    return sum(
        device.get("PCI_CLASS", "").startswith(_BRIDGE_OTHER) for device in nvidia_devices(readings)
    )


def parse(readings: Readings) -> tuple[PciGpu, ...]:
    return tuple(
        PciGpu(
            bus_id=device["PCI_SLOT_NAME"],
            device_id=device["PCI_ID"].split(":")[1].lower(),
            driver=device.get("DRIVER"),
        )
        for device in nvidia_devices(readings)
        # The kernel writes the class without leading zeros: 030200 is "30200".
        if len(device.get("PCI_CLASS", "")) == 5 and device["PCI_CLASS"].startswith(_DISPLAY)
    )


FACT: Fact[tuple[PciGpu, ...]] = Fact(
    title="NVIDIA GPUs on the PCI bus", sources=(SOURCE,), parse=parse
)
