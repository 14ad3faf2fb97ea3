"""The path between every pair of GPUs: NVLink, one PCIe switch, the CPU, or the other socket."""

from __future__ import annotations

import re

import msgspec

from provision.host import nvml, pci_gpus
from provision.host._model import Command, Fact, Readings

TOPOLOGY = Command(("nvidia-smi", "topo", "-m"))

_CELL = re.compile(r"NV\d+|PIX|PXB|PHB|NODE|SYS")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class GpuLink(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` is NV with the number of links, or a word of `nvidia-smi topo -m`, such as PIX."""

    a: str
    b: str
    kind: str


class GpuLinks(msgspec.Struct, frozen=True, kw_only=True):
    """`nvswitch`: the NVLinks meet in switches, which need a fabric manager."""

    pairs: tuple[GpuLink, ...] = ()
    nvswitch: bool | None = None


def matrix(text: str) -> tuple[GpuLink, ...]:
    """Return the pairs of a topology matrix.

    Network cards and affinities beside the GPUs are skipped.
    """
    lines = [line.split() for line in _COLOUR.sub("", text).splitlines()]
    header = next((words for words in lines if words[:1] == ["GPU0"] and "X" not in words), [])
    columns = [word for word in header if re.fullmatch(r"GPU\d+", word)]
    pairs = []
    for words in lines:
        if words and words[0] in columns and words != header:
            row, cells = words[0], words[1 : len(columns) + 1]
            pairs += [
                GpuLink(a=row[3:], b=column[3:], kind=cell)
                for column, cell in zip(columns, cells, strict=False)
                if columns.index(row) < columns.index(column) and _CELL.fullmatch(cell)
            ]
    return tuple(pairs)


def _by_nvml(readings: Readings) -> tuple[GpuLink, ...]:
    return tuple(
        GpuLink(a=str(link.a), b=str(link.b), kind=link.kind)
        for link in nvml.document(readings).links
    )


def parse(readings: Readings) -> GpuLinks:
    """Prefer nvidia-smi: it shows paths that NVML's calls do not report on every GPU."""
    by_matrix = matrix(readings.optional(TOPOLOGY) or "")
    answers_nvml = readings.optional(nvml.SOURCE) is not None
    if not by_matrix and not answers_nvml:
        # Raises Unread with the reason if there is no text at all.
        raise ValueError(f"no topology matrix in {readings.text(TOPOLOGY)[:60]!r}")
    switched = nvml.document(readings).nvswitch or pci_gpus.nvswitches(readings) > 0
    return GpuLinks(
        pairs=by_matrix or _by_nvml(readings),
        nvswitch=switched if answers_nvml else switched or None,
    )


def warn(value: GpuLinks, readings: Readings) -> list[str]:
    by_nvml = {(link.a, link.b): link.kind for link in _by_nvml(readings)}
    return [
        f"between GPU {link.a} and {link.b} nvidia-smi reports {link.kind}, "
        f"NVML {by_nvml[link.a, link.b]}"
        for link in value.pairs
        if by_nvml.get((link.a, link.b), link.kind) != link.kind
    ]


FACT: Fact[GpuLinks] = Fact(
    title="GPU links",
    sources=(TOPOLOGY, nvml.SOURCE, pci_gpus.SOURCE),
    parse=parse,
    warn=warn,
)
