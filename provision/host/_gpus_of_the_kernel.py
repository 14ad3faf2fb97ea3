"""GPUs as the kernel and the board describe them, for hosts where no user-space source answers."""

from __future__ import annotations

import re

import msgspec

from provision.host._model import File, Files, Readings
from provision.host.nvml import GpuAnswer
from provision.host.pci_gpus import normalise

PROC = Files(("/proc/driver/nvidia/gpus/*/information",))
LINKS = Files(
    (
        "/sys/bus/pci/drivers/nvidia/*:*/current_link_width",
        "/sys/bus/pci/drivers/nvidia/*:*/max_link_width",
        "/sys/bus/pci/drivers/nvidia/*:*/current_link_speed",
        "/sys/bus/pci/drivers/nvidia/*:*/max_link_speed",
    )
)
# The port that the GPU is plugged into: the folder of a device lies in that of its port.
PORTS = Files(
    (
        "/sys/bus/pci/drivers/nvidia/*:*/../max_link_width",
        "/sys/bus/pci/drivers/nvidia/*:*/../max_link_speed",
    )
)
BOARD = File("/proc/device-tree/model")
TEGRA = File("/etc/nv_tegra_release")
MEMORY = File("/proc/meminfo")

INTEGRATED = re.compile(r"\b(GB10|Orin|Thor|Xavier|Tegra)\b", re.IGNORECASE)

_BOARD_CC = {"orin": "8.7", "thor": "11.0", "xavier": "7.2"}
_GENERATIONS = {"2.5": 1, "5.0": 2, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}
_LINK_FIELDS = {
    "current_link_width": "width",
    "max_link_width": "width_max",
    "current_link_speed": "generation",
    "max_link_speed": "generation_max",
}


def by_proc(readings: Readings) -> tuple[GpuAnswer, ...] | None:
    text = readings.optional(PROC)
    if text is None:
        return None
    names: dict[str, str] = {}
    for path, information in msgspec.json.decode(text, type=dict[str, str]).items():
        bus_id = normalise(path)
        model = re.search(r"^Model:\s*(\S.*?)\s*$", information, re.MULTILINE)
        if bus_id and model and model[1] != "Unknown":
            names[bus_id] = model[1]
    return tuple(
        GpuAnswer(index=index, name=name, bus_id=bus_id)
        for index, (bus_id, name) in enumerate(sorted(names.items()))
    )


def by_board(readings: Readings) -> tuple[GpuAnswer, ...] | None:
    """Return the GPU of a Jetson board. Some releases have neither NVML nor nvidia-smi."""
    name = (readings.optional(BOARD) or "").strip("\0 \n")
    chip = INTEGRATED.search(name)
    if not chip or readings.optional(TEGRA) is None:
        return None
    return (GpuAnswer(index=0, name=name, cc=_BOARD_CC.get(chip[0].lower())),)


def bus_links(readings: Readings, source: Files) -> dict[str, dict[str, int]]:
    """Return width and generation of each GPU's PCIe link, or of its port, by the GPU's bus id."""
    text = readings.optional(source)
    links: dict[str, dict[str, int]] = {}
    for path, value in (msgspec.json.decode(text, type=dict[str, str]) if text else {}).items():
        bus_id, field = normalise(path), _LINK_FIELDS.get(path.rpartition("/")[2])
        words = value.split()  # "16" or "32.0 GT/s PCIe"
        if not (bus_id and field and words):
            continue
        if number := _GENERATIONS.get(words[0]) if len(words) > 1 else _width(words[0]):
            links.setdefault(bus_id, {})[field] = number
    return links


def _width(word: str) -> int | None:
    """Return a link width.

    A bridge without a link reports 0; a GPU that fell off the bus 63 or 255.
    """
    return int(word) if word in {"1", "2", "4", "8", "12", "16", "32"} else None


# An integrated GPU shares this memory.
def memory_of_the_host(readings: Readings) -> int | None:
    total = re.search(r"^MemTotal:\s+(\d+) kB", readings.optional(MEMORY) or "", re.MULTILINE)
    return int(total[1]) * 1024 if total else None
