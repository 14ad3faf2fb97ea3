"""The outputs of `nvidia-smi`, `nvidia-smi -q`, and `nvidia-smi --query-gpu … --format=csv`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host.from_paste._lines import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

# A row of the table: number, name, persistence mode, bus address.
_ROW: Final = re.compile(
    r"(\d{1,3})\s+(\S.*?)\s+(?:On|Off|N/A)\s*\|\s*[0-9A-Fa-f]{8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d"
)
_DRIVER: Final = re.compile(r"Driver Version\s*:\s*(\d[\d.]+)")
_PRODUCT: Final = re.compile(r"Product Name\s*:\s*(\S.*)")
_ATTACHED: Final = re.compile(r"Attached GPUs\s*:\s*\d|=+NVSMI LOG=+")
_FIELDS: Final = {"name", "gpu_name"}
_MARKS: Final = {"driver_version", "compute_cap", "memory.total", "index", "uuid", "pci.bus_id"}


def translate(lines: list[Line]) -> Iterator[Line]:
    for line in lines:
        if match := _ROW.match(line.text):
            # Old versions cut long names and end them with three dots.
            yield Line(line.number, f"GPU {match[1]}: {match[2].removesuffix('...').rstrip()}")
        elif match := _DRIVER.search(line.text):
            yield Line(line.number, f"Nvidia driver version: {match[1]}")
    if any(_ATTACHED.search(line.text) for line in lines):
        products = [line for line in lines if _PRODUCT.match(line.text)]
        for number, line in enumerate(products):
            yield Line(line.number, f"GPU {number}: {line.text.partition(':')[2].strip()}")
    yield from _of_table(lines)


def _of_table(lines: list[Line]) -> Iterator[Line]:
    """Translate rows of comma-separated values below a header with the names of fields."""
    header: list[str] = []
    count = 0
    for line in lines:
        cells = [cell.strip() for cell in line.text.split(",")]
        names = [cell.partition(" [")[0].lower() for cell in cells]
        if _FIELDS & set(names) and _MARKS & set(names):
            header, count = names, 0
        elif header and len(cells) == len(header):
            yield from _of_row(dict(zip(header, cells, strict=True)), line.number, count)
            count += 1
        else:
            header = []


def _of_row(row: dict[str, str], number: int, count: int) -> Iterator[Line]:
    name = row.get("name") or row.get("gpu_name", "")
    capability = row.get("compute_cap", "")
    behind = f" (compute capability {capability})" if re.fullmatch(r"\d+\.\d", capability) else ""
    yield Line(number, f"GPU {row.get('index', count)}: {name}{behind}")
    if driver := row.get("driver_version"):
        yield Line(number, f"Nvidia driver version: {driver}")
