"""The Xids of this boot: errors that the NVIDIA kernel module logged for its GPUs, oldest first."""

from __future__ import annotations

import re

import msgspec

from provision.host import pci_gpus
from provision.host._model import Fact, Probe, Readings

_LOG = Probe("kernel_log")
_XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)\): (\d{1,4})\b,?\s*(.*)")


class Xid(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is what follows the number."""

    bus_id: str
    xid: int
    text: str = ""


def parse(readings: Readings) -> tuple[Xid, ...]:
    matches = (
        _XID.search(line) for line in msgspec.json.decode(readings.text(_LOG), type=list[str])
    )
    return tuple(
        Xid(bus_id=_bus_id(match[1]), xid=int(match[2]), text=match[3][:160].strip())
        for match in matches
        if match
    )


def _bus_id(text: str) -> str:
    """Add the function that the kernel module leaves out: "0000:3b:00" is 0000:3b:00.0."""
    return pci_gpus.normalise(text) or pci_gpus.normalise(f"{text}.0") or text


FACT = Fact[tuple[Xid, ...]](sources=(_LOG,), parse=parse, moving=("text",))
