"""Accelerators that are not NVIDIA's, from the PCI bus or from a pasted text; Jetson boards too.

Only a device that some serving stack supports is one. The graphics of a processor, a display of a
server board and a virtual display are none.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from provision.host import pci_gpus
from provision.host._model import Fact, File, Readings

_RELEASE: Final = File("/proc/sys/kernel/osrelease")

# Device ids by vendor, from pci.ids of 2026-08. A class alone is not enough: the NPU of a laptop
# and the compression engine of a server are "processing accelerators", too.
_VENDORS: Final = {
    "1002": ("amd", r"66a.|67[de]f|6fdf|68[67].|73[1-9a-f].|7[4-7]..|1586"),
    "1d94": ("hygon", r"...."),
    "8086": ("intel", r"0b6[9e]|0bd.|4f8.|569[0-46-8]|56[abc].|e20[2-9a-f]|e21.|e22."),
    "1da3": ("gaudi", r"10.."),
    "19e5": ("ascend", r"d..."),
    "1d0f": ("neuron", r"7[0-9]6."),
    "1ae0": ("tpu", r"0027|005e|006[23]|006f|0076"),
    "9999": ("metax", r"...."),
    "1ed5": ("moorethreads", r"...."),
    "cabc": ("cambricon", r"...."),
    "1e3e": ("iluvatar", r"...."),
    "1d22": ("kunlun", r"36.."),
    "1e36": ("enflame", r"...."),
    "1eff": ("rebellions", r"...."),
    "1e52": ("tenstorrent", r"401e|b14."),
    "1ed2": ("furiosa", r"000[12]|2222"),
    "1014": ("spyre", r"06a[78]"),
}
# Display controllers 03xxxx and processing accelerators 12xxxx, without leading zeros.
_CLASS: Final = re.compile(r"3\d{4}|12\d{4}")
_ANY_CLASS: Final = frozenset({"neuron", "tpu"})  # "system peripheral" and "unassigned"

_RADEON: Final = (
    r"Radeon(?:\s?\(TM\)|\u2122)?\s(?:RX\s?(?:Vega\s(?!(?:3|6|8|9|10|11)\b))?\d"
    r"|Pro\s(?:[WV]|Duo)|VII\b|AI\sPRO|R9700|80[456]0S)"
)
# The first that matches a name decides.
_NAMES: Final = (
    ("hygon", re.compile(r"\b(?:K100(?:[_-]AI)?|Z100L?|BW1\d{3}|[DH]CU)\b|gfx(?:926|928|93[68])")),
    ("amd", re.compile(rf"\bInstinct\b|\bMI\d{{2,3}}[AXPH]?\b|{_RADEON}", re.IGNORECASE)),
    (
        "intel",
        re.compile(
            r"\bData Center GPU\b|\bArc(?:\s?\(TM\)|\u2122)?\s(?:Pro\s)?(?:A\d{2,3}|B[5-7]\d{1,2})"
            rf"|\[(?:0x)?(?:8086:)?(?:{_VENDORS['8086'][1]})\]",
            re.IGNORECASE,
        ),
    ),
    ("gaudi", re.compile(r"\bGaudi|\bHL-[23]\d\d", re.IGNORECASE)),
    ("ascend", re.compile(r"\bAscend|\b(?:910(?:[A-D]\w?|_\w+)?|310P\w*)$", re.IGNORECASE)),
    ("neuron", re.compile(r"\bInferentia|\bTrainium|\bNeuronDevice", re.IGNORECASE)),
    ("tpu", re.compile(r"\bTPU v\d", re.IGNORECASE)),
    ("metax", re.compile(r"\bMetaX\b|\bMXC\d{3}", re.IGNORECASE)),
    ("moorethreads", re.compile(r"\bMoore Threads\b|\bMTT S\d", re.IGNORECASE)),
    ("cambricon", re.compile(r"\bCambricon\b|\bMLU\d{3}", re.IGNORECASE)),
    ("iluvatar", re.compile(r"\bIluvatar\b", re.IGNORECASE)),
    ("kunlun", re.compile(r"\bKunlun", re.IGNORECASE)),
    ("enflame", re.compile(r"\bEnflame\b|\bCloudBlazer\b", re.IGNORECASE)),
    ("rebellions", re.compile(r"\bRebellions\b|\bRBLN", re.IGNORECASE)),
    ("tenstorrent", re.compile(r"\bTenstorrent\b|\b(?:Wormhole|Blackhole)\b", re.IGNORECASE)),
    ("furiosa", re.compile(r"\bFuriosa|\bRNGD\b", re.IGNORECASE)),
    ("spyre", re.compile(r"\bSpyre\b", re.IGNORECASE)),
)
_INTEL_ID: Final = re.compile(r"\[0x([0-9a-f]{4})\]", re.IGNORECASE)
_AFTER_NAME: Final = re.compile(
    r"\s*(?:\((?:arch|gfx|rev|UUID|[^)]*$)|\bgfx|\[(?:0x)?[0-9a-f]{4}(?::[0-9a-f]{4})?\]|#).*",
    re.IGNORECASE,
)
_NVIDIA: Final = re.compile(r"NVIDIA|GeForce|Tesla|Quadro")
_GFX: Final = re.compile(r"\bgfx[0-9a-f]{3,4}\b")
# The graphics of processors that no ROCm build of a serving stack has code for.
_GFX_OF_A_PROCESSOR: Final = re.compile(r"gfx(?:90[29c]|103[3-7]|1103|115[23])\b")


class Accelerator(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One device: its kind, its name as far as it is known, its architecture, its PCI id."""

    kind: str
    name: str = ""
    arch: str = ""
    pci_id: str = ""


def of_a_processor(text: str) -> bool:
    """Return True for the gfx number of an AMD processor's graphics."""
    return _GFX_OF_A_PROCESSOR.search(text) is not None


def by_name(text: str) -> Accelerator | None:
    """Return the accelerator that a device name means, or None."""
    if _NVIDIA.search(text) or of_a_processor(text):
        return None
    gfx = _GFX.search(text)
    kinds = (kind for kind, pattern in _NAMES if pattern.search(text))
    kind = next(kinds, "amd" if gfx else None)
    if kind is None:
        return None
    device = _INTEL_ID.search(text) if kind == "intel" else None
    return Accelerator(
        kind=kind,
        name=_AFTER_NAME.sub("", text).strip(" :"),
        arch=gfx[0] if gfx else "",
        pci_id=f"8086:{device[1].lower()}" if device else "",
    )


def by_pci_id(pci_id: str, pci_class: str) -> Accelerator | None:
    """Return the accelerator that an id such as 1002:74a1 means, or None."""
    vendor, _, device = pci_id.lower().partition(":")
    kind, devices = _VENDORS.get(vendor, ("", ""))
    # AMD's only processing accelerators are its Instincts, the future ones too.
    known = kind and re.fullmatch(devices, device)
    new = kind == "amd" and pci_class.startswith("12")
    if not (known or new) or (kind not in _ANY_CLASS and not _CLASS.fullmatch(pci_class)):
        return None
    return Accelerator(kind=kind, pci_id=f"{vendor}:{device}")


def parse(readings: Readings) -> tuple[Accelerator, ...]:
    board = jetson(readings.optional(_RELEASE) or "")
    if board and readings.optional(pci_gpus.SOURCE) is None:
        return (board,)
    devices = (
        by_pci_id(device.get("PCI_ID", ""), device.get("PCI_CLASS", ""))
        for device in pci_gpus.all_devices(readings)
    )
    return tuple(filter(None, (*devices, board)))


def jetson(kernel: str) -> Accelerator | None:
    """Return the board whose kernel is called 5.15.148-tegra."""
    match = re.search(r"\b(\d+\.\d+)[\w.+]*-tegra\b", kernel)
    return Accelerator(kind="jetson", name=f"Jetson (kernel {match[0]})") if match else None


FACT: Fact[tuple[Accelerator, ...]] = Fact(
    title="Other accelerators", sources=(pci_gpus.SOURCE, _RELEASE), parse=parse
)
