"""Accelerators in a pasted text: from lists of devices, builds, packages and log lines.

Only lines that a program wrote count. A sentence about an MI300X names no device of this host.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host.accelerators import Accelerator, by_name, by_pci_id, jetson, of_a_processor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from provision.host._titles import Pairs

_NUMBERS: Final = r"\d{1,3}(?:\s*,\s*\d{1,3})*"
# Each ends with the name of a device, as one program lists it.
_DEVICES: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:Intel )?GPU models(?: and configuration| onboard)?\s*:(?:\s*GPU \d{1,3}\s*:)?(.*)",
        rf"(?:GPU|[NXH]PU|DCU|HCU) {_NUMBERS}\s*:\s*(.+)",
        r"HPU devices\s*:\s*(?:\d+\s?x\s)?(.+)",
        r"(Intel(?:\(R\))? (?:Data Center GPU|Arc)[\w() ]{0,40})",
        # rocm-smi, rocminfo, amd-smi, hy-smi, xpu-smi
        r"[GDH][PC]U\[\d+\]\s*:\s*(?:Card (?:Series|Model)|Device Name|GFX Version)\s*:\s*(.+)",
        r"(?:Marketing[ _]Name|Market[ _]Name|Target[ _]Graphics[ _]Version)\s*:\s*(.+)",
        r"Name\s*:\s*(gfx[0-9a-f]{3,4})",
        r"(?:\d+\s*\|\s*)?Device Name\s*:\s*(Intel[^|]+).*",
        r"\[\d+\]\s*_XpuDeviceProperties\(name='([^']+)'.*",
        # inxi, lshw, neofetch, and what people write themselves
        r"(?:Graphics\s*:\s*)?Device-\d\s*:\s*(.+)",
        r"product\s*:\s*(.+)",
        r"GPUs?(?: (?:Model|Name|Type))?\s*:\s*(.{1,60})",
        # npu-smi, hl-smi, tpu-info
        r"\d{1,3}\s+((?:Ascend\s?)?(?:910|310)\w*)\s*\|\s*(?:OK|Warning|Alarm|Critical|UNKNOWN)\b.*",
        r"\d{1,3}\s+(HL-\d{3}\w?)\s.*",
        r"(?:/dev/\S+\s*\S?\s*)(TPU v\d\S*(?: \w+)?) chip.*",
    )
)
_LSPCI: Final = re.compile(
    r"(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7] [^:\[]{4,60}(?:\[([0-9a-f]{4})\])?: (.+)",
    re.IGNORECASE,
)
_DISPLAYS: Final = re.compile(
    r"VGA compatible|3D controller|Display controller|Processing accel|System peripheral|Unassigned"
)
_ID: Final = re.compile(r"\[([0-9a-f]{4}:[0-9a-f]{4})\]", re.IGNORECASE)
_PLATFORM: Final = re.compile(
    r"(?:Automatically detected platform (\w+)|Platform plugin (\w+) is activated"
    r"|Confirmed (\w+) platform is available)"
)
_PLATFORMS: Final = {
    "rocm": "amd",
    "xpu": "intel",
    "hpu": "gaudi",
    "habana": "gaudi",
    "npu": "ascend",
    "ascend": "ascend",
    "neuron": "neuron",
    "tpu": "tpu",
    "metax": "metax",
    "maca": "metax",
    "musa": "moorethreads",
    "mlu": "cambricon",
    "kunlun": "kunlun",
    "gcu": "enflame",
}
_VERSION: Final = re.compile(r"v?\d+[.\d]|\(0,|True\b")
_TITLES: Final = (
    (
        "amd",
        r"(?:rocm used to build pytorch|(?:hip|miopen) runtime version|rocm(?: driver)? version)",
    ),
    ("amd", r"rocm available"),
    ("intel", r"xpu used to build pytorch|is xpu available|xpu available|xpu runtime version"),
    ("gaudi", r"hpu available|hpu driver version"),
    ("ascend", r"npu available|ascend driver version|cann version|vllm ascend version"),
    ("neuron", r"neuron sdk version"),
    ("moorethreads", r"musa available|musa driver version"),
)
# Distributions that are installed for one kind of device only. Hygon and Neuron come before AMD
# and TPU, whose packages their own builds need.
_PACKAGES: Final = (
    ("hygon", r"", r"dtk|das\d?\.opt"),
    ("neuron", r"torch-neuronx?|neuronx-.+|vllm-neuron|libneuronxla|.+-neuronx", r"neuron"),
    ("gaudi", r"habana-.+|vllm-gaudi|optimum-habana", r"hpu|gaudi"),
    ("ascend", r"torch-npu|vllm-ascend|sgl-kernel-npu", r"npu|ascend"),
    ("metax", r"vllm-metax", r"metax|maca"),
    ("moorethreads", r"torch-musa|vllm-musa", r"musa"),
    ("cambricon", r"torch-mlu|vllm-mlu", r"mlu"),
    ("iluvatar", r"", r"corex|iluvatar"),
    ("enflame", r"torch-gcu|vllm-gcu", r"gcu"),
    ("intel", r"pytorch-triton-xpu|triton-xpu|vllm-xpu-kernels", r"xpu"),
    ("amd", r"pytorch-triton-rocm|amd-aiter|vllm-rocm", r"rocm"),
    ("tpu", r"libtpu(?:-.+)?|vllm-tpu|tpu-inference|torch-xla", r"tpu"),
)
_PACKAGE: Final = re.compile(r"\[(?:pip3?|conda)\]\s+([A-Za-z][\w.-]*)(?:==|\s+)(\d[\w.+!-]*)")
_LONGEST: Final = 500  # no program writes longer lines about a device
_LOCAL_OF: Final = ("torch", "vllm", "torchvision", "torchaudio", "triton")


def read(lines: list[str], pairs: Pairs, *, nvidia: bool) -> tuple[Accelerator, ...]:
    """Return the devices that a text lists, or else the kind that its builds are for.

    Beside NVIDIA GPUs (`nvidia`) only listed devices count: packages of others prove nothing there.
    """
    lines = [line for line in lines if len(line) <= _LONGEST]
    names = list(_names(lines))
    listed = [*filter(None, map(by_name, names)), *_of_lspci(lines)]
    if listed:
        return _without_twins(listed)
    if nvidia:
        return ()
    kinds = set(_kinds(lines, pairs))
    if any(map(of_a_processor, names)):
        kinds.discard("amd")
    order = (*(kind for kind, *_ in _PACKAGES), "kunlun")
    first = next((kind for kind in order if kind in kinds), None)
    if first:
        return (Accelerator(kind=first),)
    platforms = (*pairs.get("python platform", ()), *(line for line in lines if "-tegra" in line))
    board = next(filter(None, map(jetson, platforms)), None)
    return (board,) if board else ()


def _names(lines: list[str]) -> Iterator[str]:
    for line in lines:
        for pattern in _DEVICES:
            if match := pattern.fullmatch(line):
                yield match[1].strip()
                break


def _of_lspci(lines: Iterable[str]) -> Iterator[Accelerator]:
    for line in lines:
        match = _LSPCI.match(line)
        if not match or not _DISPLAYS.search(line):
            continue
        pci_id = _ID.search(line)
        device = by_name(match[2])
        if pci_id and not device:
            # A class such as 0300 has no name in it: the id decides.
            device = by_pci_id(pci_id[1], (match[1] or "0300").lstrip("0") + "00")
        if device:
            yield device


def _without_twins(devices: list[Accelerator]) -> tuple[Accelerator, ...]:
    """Drop a device without a name where another line names one of the same kind."""
    named = {device.kind for device in devices if device.name}
    archs = {device.kind: device.arch for device in devices if device.arch}
    return tuple(
        Accelerator(
            kind=device.kind,
            name=device.name,
            arch=device.arch or archs.get(device.kind, ""),
            pci_id=device.pci_id,
        )
        for device in devices
        if device.name or device.pci_id or device.kind not in named
    )


def _kinds(lines: list[str], pairs: Pairs) -> Iterator[str]:
    for kind, titles in _TITLES:
        for title, values in pairs.items():
            if re.fullmatch(titles, title) and any(map(_VERSION.match, values)):
                yield kind
    for line in lines:
        if match := _PLATFORM.search(line):
            yield _PLATFORMS.get((match[1] or match[2] or match[3]).lower(), "")
    packages = list(_packages(lines, pairs))
    for kind, names, local in _PACKAGES:
        for name, version in packages:
            label = version.partition("+")[2] if name in _LOCAL_OF else ""
            if (names and re.fullmatch(names, name)) or re.search(rf"(?:^|\.)(?:{local})", label):
                yield kind


def _packages(lines: list[str], pairs: Pairs) -> Iterator[tuple[str, str]]:
    for title, name in (("pytorch version", "torch"), ("vllm version", "vllm")):
        yield from ((name, version) for version in pairs.get(title, ()))
    for line in lines:
        if match := _PACKAGE.match(line):
            yield re.sub(r"[-_.]+", "-", match[1]).lower(), match[2]
