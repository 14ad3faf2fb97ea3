"""Compare the catalogue's GPU names and PCI ids with public lists.

    python benchmarks/gpu_lists.py PCI_IDS [NAMES] [--rows]

PCI_IDS is pci.ids of the PCI ID Project, NAMES is g_nv_name_released.h of NVIDIA's open kernel
modules. A name without a row, an id without a chip and a name whose capability is not that of its
id are printed, and the exit code is 1. `--rows` prints a row for each name that has none.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from provision.catalog import rows
from provision.host import accelerators
from provision.host.pci_gpus import PciGpu
from provision.plan import identify

CATALOGUE = rows.load()
FIRST = 0x1340  # Maxwell: the first chip in the catalogue
# Functions of a card, boards and chips that were never sold. A name in parts means several cards.
NO_GPU = re.compile(
    r"Audio|USB|UCSI|nForce|Switch|MCP|Host|Bridge|PCI\b|SATA|\bINT ?\d|INT SKU|SKU \d|Reserved"
    r"|Dev ?ID|Graphics Device|GeForce GPU|Desktop Device|Generic|FAKE|Skinny Joe|GRID M60"
    r"|\bPG\d{3}|\bD17U|AC AD104|GH100-|GM107 CS1|GV100 DGX|GV100 SXM|TS4|DGX Station"
    r"|\[RTX 2000|PASCAL SKU|Engineering Sample|Matrox|DRIVE|PCIe Faber|\[RTX A4 |M3-3020"
)
# The share of a GPU that a hypervisor assigns: H100XM-40C, A100X-1-5CME.
PROFILE = re.compile(r"-(?:\d+-)?\d{1,3}(?:C|CME|Q|A|B)?$")
_SAME_CHIP = re.compile(
    r" (?:Mobile|Laptop GPU|Embedded GPU|with Max-Q Design|Max-Q|\d+GB|Refresh| Generation)\b.*"
    r"| \(.*"
)
# Gaming profiles of data-centre GPUs have the names of GeForce cards.
PASSED_ON = frozenset({"1e37", "26b5", "26b8", "26b9", "26ba", "2bb5", "2bb9"})


def of_pci_ids(path: Path, vendor: str) -> Iterator[tuple[str, str]]:
    """Yield the ids of a vendor, each with the name in brackets."""
    current = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([0-9a-f]{4})  ", line):
            current = match[1]
        elif current == vendor and (match := re.match(r"\t([0-9a-f]{4})  (.*)", line)):
            if NO_GPU.search(match[2]):
                continue
            for name in re.findall(r"\[([^\]]+)\]", match[2])[:1]:
                # "[GeForce RTX 3080 / 3080 Ti]" names a second card by its last word.
                yield match[1], name.split(" / ")[0].split("/")[0].strip()


def of_nvidia(path: Path) -> Iterator[tuple[str, str]]:
    row = re.compile(r'\{ 0x([0-9A-F]{4}), 0x\w{4}, 0x\w{4}, "([^"]+)" \}')
    for device, name in row.findall(path.read_text(encoding="utf-8")):
        if device.lower() not in PASSED_ON and not NO_GPU.search(name):
            yield device.lower(), PROFILE.sub("", name)


def main(arguments: list[str]) -> int:
    with_rows = "--rows" in arguments
    pci_ids, *names = (Path(argument) for argument in arguments if argument != "--rows")
    listed = [(i, name) for i, name in of_pci_ids(pci_ids, "10de") if int(i, 16) >= FIRST]
    for path in names:
        listed += of_nvidia(path)
    chips = {device: identify.pci_row(_gpu(device), CATALOGUE.pci) for device, _ in listed}
    no_chip = sorted({(device, name) for device, name in listed if not chips[device]})
    unknown: dict[str, str] = {}
    wrong = set()
    for device, name in listed:
        chip, model = chips[device], identify.find(name, CATALOGUE.gpus)
        if chip and not model:
            unknown.setdefault(_bare(name), chip.cc)
        elif chip and model and model.cc != chip.cc:
            wrong.add(f"{name} ({device}): {model.cc} by its name, {chip.cc} by its id")
    wrong |= set(_of_other_makers(pci_ids))
    if with_rows:
        for name, cc in sorted(unknown.items(), key=lambda item: (item[1], item[0])):
            print(_row(name, cc))
        return 0
    print(f"{len(listed)} names listed, {len(CATALOGUE.gpus)} models, {len(CATALOGUE.pci)} ranges")
    for title, texts in (
        ("ids without a chip", [f"{device} {name}" for device, name in no_chip]),
        ("names without a row", sorted(unknown)),
        ("contradictions", sorted(wrong)),
    ):
        print(f"{len(texts)} {title}", *texts, sep="\n  ")
    return 1 if no_chip or unknown or wrong else 0


def _gpu(device: str) -> PciGpu:
    return PciGpu(bus_id="", device_id=device)


def _of_other_makers(path: Path) -> Iterator[str]:
    """Yield the Instinct, Arc and other products of the list that are no accelerators here."""
    product = re.compile(
        r"Instinct|Arc (?:Pro )?[AB][1-9](?!\d*0\d?V)|Data Center GPU|Radeon RX [6-9]\d{3}"
    )
    for vendor in ("1002", "8086"):
        for device, name in of_pci_ids(path, vendor):
            if product.search(name) and not re.search(r"Arc (?:Pro )?B3[79]0", name):
                known = accelerators.by_pci_id(f"{vendor}:{device}", "30000")
                if known is None:
                    yield f"{name} ({vendor}:{device}) is no accelerator by its id"


def _bare(name: str) -> str:
    """Return a name without its brand and without words that make no other chip of it."""
    without_brand = re.sub(r"^(?:NVIDIA|GRID|Tesla) ", "", name)
    return _SAME_CHIP.sub("", without_brand)


def _row(name: str, cc: str) -> str:
    row = rows.GpuModel(
        source="pci.ids of 2026-08-22, g_nv_name_released.h of driver 595.45.04 (names)",
        read="2026-12-01",
        name=name,
        cc=cc,
        confidence="C",
    )
    return msgspec.json.encode(row).decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
