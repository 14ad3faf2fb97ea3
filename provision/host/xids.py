"""The Xids of this boot: what the NVIDIA kernel module reported of its GPUs in the kernel log, oldest first."""

from __future__ import annotations

import re

import msgspec

from provision.host import pci_gpus
from provision.host._model import Fact, Probe, Readings

_LOG = Probe("kernel_log")
_XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)\): (\d{1,4})\b,?\s*(.*)")


class Xid(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is what followed the number."""

    bus_id: str
    xid: int
    text: str = ""


def parse(readings: Readings) -> tuple[Xid, ...]:
    lines = msgspec.json.decode(readings.text(_LOG), type=list[str])
    found = (_XID.search(line) for line in lines)
    return tuple(Xid(bus_id=_bus_id(xid[1]), xid=int(xid[2]), text=xid[3][:160].strip()) for xid in found if xid)


def _bus_id(said: str) -> str:
    """The kernel module leaves out the function: "0000:3b:00" is 0000:3b:00.0."""
    return pci_gpus.normalised(said) or pci_gpus.normalised(f"{said}.0") or said


FACT = Fact[tuple[Xid, ...]](name="xids", title="Xids", sources=(_LOG,), parse=parse, moving=("text",))
