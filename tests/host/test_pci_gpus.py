"""host/pci_gpus.py: GPUs that the bus shows, with and without a driver."""

from __future__ import annotations

import json

import pytest

from provision.doors.reading import Reading
from provision.host import pci_gpus
from provision.host._model import Host, Missing, Readings


def uevent(slot: str, pci_id: str, pci_class: str, driver: str = "") -> tuple[str, str]:
    first = f"DRIVER={driver}\n" if driver else ""
    text = f"{first}PCI_CLASS={pci_class}\nPCI_ID={pci_id}\nPCI_SUBSYS_ID=10DE:16C1\nPCI_SLOT_NAME={slot}\n"
    return f"/sys/bus/pci/devices/{slot}/uevent", text


BUS = Reading(
    outcome="ok",
    text=json.dumps(
        dict(
            [
                uevent("0000:af:00.0", "10DE:2330", "30200"),
                uevent("0000:17:00.0", "10DE:2330", "30200", "nvidia"),
                uevent("0000:17:00.1", "10DE:10F8", "40300", "snd_hda_intel"),
                uevent("0000:2a:00.0", "10DE:1DB6", "30000", "nouveau"),
                uevent("0000:c2:00.0", "10DE:22A3", "68000", "nvidia-nvswitch"),
                uevent("0000:03:00.0", "1A03:2000", "30000", "ast"),
                uevent("0000:65:00.0", "1002:74A1", "120000", "amdgpu"),
            ]
        )
    ),
)


def test_gpus_and_nothing_else_in_bus_order() -> None:
    assert Host({pci_gpus.SOURCE.key: BUS}).value(pci_gpus.FACT) == (
        pci_gpus.PciGpu(bus_id="0000:17:00.0", device_id="2330", driver="nvidia"),
        pci_gpus.PciGpu(bus_id="0000:2a:00.0", device_id="1db6", driver="nouveau"),
        pci_gpus.PciGpu(bus_id="0000:af:00.0", device_id="2330"),
    )


def test_nvswitches() -> None:
    assert pci_gpus.nvswitches(Readings({pci_gpus.SOURCE.key: BUS})) == 1
    assert pci_gpus.nvswitches(Readings({})) == 0


def test_a_bus_without_nvidia_is_not_a_bus_that_could_not_be_read() -> None:
    other = Reading(
        outcome="ok", text=json.dumps(dict([uevent("0000:00:02.0", "8086:9A49", "30000", "i915")]))
    )
    assert Host({pci_gpus.SOURCE.key: other}).value(pci_gpus.FACT) == ()
    refused = Reading(outcome="refused", detail="no")
    assert Host({pci_gpus.SOURCE.key: refused}).value(pci_gpus.FACT) == Missing(
        why="refused", detail="no"
    )


def test_a_cut_reading_is_unparsable() -> None:
    cut = Reading(outcome="ok", text=BUS.text[:200])
    missing = Host({pci_gpus.SOURCE.key: cut}).value(pci_gpus.FACT)
    assert isinstance(missing, Missing)
    assert missing.why == "unparsable"


@pytest.mark.parametrize(
    ("bus_id", "kernel"),
    [
        ("00000000:17:00.0", "0000:17:00.0"),
        ("0000000F:01:00.0", "000f:01:00.0"),
        ("00010000:E1:00.0", "10000:e1:00.0"),
        ("/proc/driver/nvidia/gpus/0000:3b:00.0/information", "0000:3b:00.0"),
        ("?", None),
    ],
)
def test_normalised(bus_id: str, kernel: str | None) -> None:
    assert pci_gpus.normalise(bus_id) == kernel
