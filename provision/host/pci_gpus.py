"""NVIDIA GPUs on the PCI bus, whether or not a driver answers for them."""

from __future__ import annotations

import re

import msgspec

from provision.host._model import Fact, Files, Readings

SOURCE = Files(("/sys/bus/pci/devices/*/uevent",))

_NVIDIA = "10DE"
_DISPLAY = "3"  # the first digit of a six-digit class 03xxxx: VGA, 3D and other display controllers
_BRIDGE_OTHER = "680"  # 0680xx: what an NVSwitch says it is
_BUS_ID = re.compile(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])")


class PciGpu(msgspec.Struct, frozen=True, kw_only=True):
    """A display or 3D controller of vendor 10de; `driver` is the kernel driver bound to it, if any."""

    bus_id: str
    device_id: str
    driver: str | None = None


def normalised(bus_id: str) -> str | None:
    """The kernel's way to write a PCI address: NVML's "00000000:17:00.0" is "0000:17:00.0"."""
    found = _BUS_ID.search(bus_id)
    return f"{int(found[1], 16):04x}:{found[2].lower()}" if found else None


def of_all(readings: Readings) -> list[dict[str, str]]:
    """The kernel's description of every device on the bus, in the bus's order."""
    texts = msgspec.json.decode(readings.text(SOURCE), type=dict[str, str])
    return [dict(line.split("=", 1) for line in text.splitlines() if "=" in line) for _, text in sorted(texts.items())]


def devices(readings: Readings) -> list[dict[str, str]]:
    """Those of NVIDIA."""
    return [one for one in of_all(readings) if one.get("PCI_ID", "").upper().startswith(f"{_NVIDIA}:")]


def nvswitches(readings: Readings) -> int:
    """How many NVSwitches show on the bus; those of NVLink 5 do not."""
    if readings.optional(SOURCE) is None:
        return 0
    return sum(one.get("PCI_CLASS", "").startswith(_BRIDGE_OTHER) for one in devices(readings))


def parse(readings: Readings) -> tuple[PciGpu, ...]:
    return tuple(
        PciGpu(
            bus_id=one["PCI_SLOT_NAME"],
            device_id=one["PCI_ID"].split(":")[1].lower(),
            driver=one.get("DRIVER"),
        )
        for one in devices(readings)
        # The kernel writes the class without leading zeros: 030200 is "30200".
        if len(one.get("PCI_CLASS", "")) == 5 and one["PCI_CLASS"].startswith(_DISPLAY)
    )


FACT: Fact[tuple[PciGpu, ...]] = Fact(
    name="pci_gpus", title="NVIDIA GPUs on the PCI bus", sources=(SOURCE,), parse=parse
)
