"""Accelerators in a pasted text: from lists of devices, builds, packages and log lines.

Only lines that a program wrote count. A sentence about an MI300X names no device of this host.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from provision.host._model import Found
from provision.host.accelerators import Accelerator, by_name, by_pci_id, jetson, of_a_processor
from provision.host.from_paste import gpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.host.from_paste._lines import Line
    from provision.host.from_paste._paste import Paste

    # A device or a kind, and the number of the line that tells it.
    Device = tuple[Accelerator, int]

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
        r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\s+(AMD [^|]+)\|.*",
        r"\d{1,3}\s+((?:Ascend\s?)?(?:910|310)\w*)\s*\|\s*(?:OK|Warning|Alarm|Critical|UNKNOWN)\b.*",
        r"\d{1,3}\s+(HL-\d{3}\w?)\s.*",
        r"(?:/dev/\S+\s*\S?\s*)(TPU v\d\S*(?: \w+)?) chip.*",
    )
)
_NUMBERED: Final = re.compile(r"(?:Intel )?GPU models|[A-Z]+ ?\[?\d")
_LSPCI: Final = re.compile(
    r"(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7] [^:\[]{4,60}(?:\[[0-9a-f]{4}\])?: (.+)",
    re.IGNORECASE,
)
_CLASSES: Final = {
    "VGA compatible controller": "30000",
    "3D controller": "30200",
    "Display controller": "38000",
    "Processing accelerators": "120000",
    "System peripheral": "88000",
    "Unassigned class": "ff0000",
}
_ID: Final = re.compile(r"\[([0-9a-f]{4}:[0-9a-f]{4})\]", re.IGNORECASE)
# Before a device that lspci's own list lacks stands only its maker.
_MAKERS: Final = {
    "Advanced Micro Devices": "1002",
    "Amazon": "1d0f",
    "Cambricon": "cabc",
    "Enflame": "1e36",
    "Google": "1ae0",
    "Habana": "1da3",
    "Haiguang": "1d94",
    "Huawei": "19e5",
    "Iluvatar": "1e3e",
    "Intel": "8086",
    "MetaX": "9999",
    "Moore Threads": "1ed5",
    "Rebellions": "1eff",
    "Tenstorrent": "1e52",
}
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
    "rbln": "rebellions",
    "spyre": "spyre",
    "tt": "tenstorrent",
}
# Lines of tools, of Kubernetes, and of environments that exist for one kind only.
_LINES: Final = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (
            "amd",
            r"=*\s*ROCm System Management Interface|=+ ROCm SMI|AMD-SMI \d|amd\.com/gpu:\s*[1-9]",
        ),
        ("amd", r"(?:PYTORCH_ROCM_ARCH|HIP_VISIBLE_DEVICES|ROCR_VISIBLE_DEVICES|ROCM_PATH)=\S"),
        ("ascend", r"npu-smi \d|huawei\.com/Ascend\w*:\s*[1-9]|ASCEND_\w+=\S"),
        ("gaudi", r"HL-SMI Version|habana\.ai/gaudi:\s*[1-9]|HABANA_\w+=\S|PT_HPU_\w+=\S"),
        ("intel", r"gpu\.intel\.com/\w+:\s*[1-9]"),
        (
            "neuron",
            r"instance-type: (?:inf|trn)\d|aws\.amazon\.com/neuron\w*:\s*[1-9]|NEURON_\w+=\S",
        ),
        ("tpu", r"google\.com/tpu:\s*[1-9]|TPU_(?:ACCELERATOR_TYPE|WORKER_ID|CHIPS\w*)=\S"),
    )
)
_VERSION: Final = re.compile(r"v?\d+[.\d]|\(0,|True\b")
_TITLES: Final = (
    ("amd", ("rocm used to build pytorch", "hip runtime version", "miopen runtime version")),
    ("amd", ("rocm version", "rocm driver version", "rocm available")),
    ("intel", ("xpu used to build pytorch", "xpu runtime version")),
    ("intel", ("is xpu available", "xpu available")),
    ("gaudi", ("hpu driver version", "hpu available")),
    ("ascend", ("ascend driver version", "cann version", "vllm ascend version", "npu available")),
    ("neuron", ("neuron sdk version",)),
    ("moorethreads", ("musa driver version", "musa available")),
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
    ("rebellions", r"vllm-rbln|optimum-rbln|torch-rbln|rebel-compiler", r"rbln"),
    ("spyre", r"vllm-spyre(?:-next)?|torch-spyre|torch-sendnn", r"spyre"),
    ("tenstorrent", r"ttnn|vllm-tt-.+|pjrt-plugin-tt", r"tt"),
    ("furiosa", r"furiosa-.+", r"furiosa"),
    ("intel", r"pytorch-triton-xpu|triton-xpu|vllm-xpu-kernels", r"xpu"),
    ("amd", r"pytorch-triton-rocm|amd-aiter|vllm-rocm", r"rocm"),
    ("tpu", r"libtpu(?:-.+)?|vllm-tpu|tpu-inference|torch-xla", r"tpu"),
)
_PACKAGE: Final = re.compile(r"\[(?:pip3?|conda)\]\s+([A-Za-z][\w.-]*)(?:==|\s+)(\d[\w.+!-]*)")
_LONGEST: Final = 500  # no program writes longer lines about a device
_LOCAL_OF: Final = ("torch", "vllm", "torchvision", "torchaudio", "triton")


def read(paste: Paste) -> Found | None:
    """Return the devices that a text lists, or else the kind that its builds are for.

    Beside NVIDIA GPUs only listed devices count: packages of others prove nothing there.
    """
    lines = [line for line in paste.lines if len(line.text) <= _LONGEST]
    names = list(_names(lines))
    listed = [*_of_names(names), *_of_lspci(lines)]
    if not listed and not gpus.lists(paste):
        integrated = any(of_a_processor(name.text) for name in names)
        listed = [*_of_builds(lines, paste, without="amd" if integrated else "")][:1]
        listed = listed or [*_of_kernel(lines, paste)][:1]
    if not listed:
        return None
    devices = _without_twins([device for device, _ in listed])
    return Found(devices, tuple(dict.fromkeys(number for _, number in listed)))


def _names(lines: list[Line]) -> Iterator[Line]:
    numbered = set()
    for line in lines:
        # A device with a number, or in collect_env's list, is one also where its line is doubled.
        if _NUMBERED.match(line.text):
            if line.text in numbered:
                continue
            numbered.add(line.text)
        for pattern in _DEVICES:
            if match := pattern.fullmatch(line.text):
                yield line._replace(text=match[1].strip())
                break


def _of_names(names: list[Line]) -> Iterator[Device]:
    for name in names:
        if device := by_name(name.text):
            yield device, name.number


def _of_lspci(lines: list[Line]) -> Iterator[Device]:
    for line in lines:
        match = _LSPCI.match(line.text)
        pci_class = next((code for name, code in _CLASSES.items() if name in line.text), "")
        if not match or not pci_class:
            continue
        products = re.findall(r"\[([^\]]+)\]", match[1])
        by_product = next(filter(None, map(by_name, products)), by_name(match[1]))
        # Without a name the id decides, that of `lspci -nn` or "Device 74a1".
        if device := by_product or by_pci_id(_id_of(match[1]), pci_class):
            yield device, line.number


def _id_of(text: str) -> str:
    if pci_id := _ID.search(text):
        return pci_id[1]
    device = re.search(r"\bDevice ([0-9a-f]{4})\b", text)
    vendor = next((vendor for name, vendor in _MAKERS.items() if name in text), "")
    return f"{vendor}:{device[1]}" if device else ""


def _without_twins(devices: list[Accelerator]) -> tuple[Accelerator, ...]:
    """Drop a device without a name where another line names one of the same kind."""
    named = {device.kind for device in devices if device.name}
    archs = {device.kind: device.arch for device in devices if device.arch}
    return tuple(
        msgspec.structs.replace(device, arch=device.arch or archs.get(device.kind, ""))
        for device in devices
        if device.name or device.pci_id or device.kind not in named
    )


def _of_builds(lines: list[Line], paste: Paste, without: str) -> Iterator[Device]:
    """Yield the kinds that builds, packages and log lines are for, the most special first."""
    kinds: dict[str, int] = {}
    for kind, number in _clues(lines, paste):
        kinds.setdefault(kind, number)
    for kind in (*(kind for kind, *_ in _PACKAGES), "kunlun"):
        if kind in kinds and kind != without:
            yield Accelerator(kind=kind), kinds[kind]


def _clues(lines: list[Line], paste: Paste) -> Iterator[tuple[str, int]]:
    for kind, titles in _TITLES:
        yield from (
            (kind, value.number) for value in paste.values(*titles) if _VERSION.match(value.text)
        )
    for line in lines:
        if match := _PLATFORM.search(line.text):
            yield _PLATFORMS.get((match[1] or match[2] or match[3]).lower(), ""), line.number
        yield from ((kind, line.number) for kind, words in _LINES if words.match(line.text))
    for name, version in _packages(lines, paste):
        label = version.text.partition("+")[2] if name in _LOCAL_OF else ""
        for kind, names, local in _PACKAGES:
            if (names and re.fullmatch(names, name)) or re.search(rf"(?:^|\.)(?:{local})", label):
                yield kind, version.number


def _packages(lines: list[Line], paste: Paste) -> Iterator[tuple[str, Line]]:
    yield from (("torch", version) for version in paste.values("pytorch version"))
    yield from (("vllm", version) for version in paste.values("vllm version"))
    for line in lines:
        if match := _PACKAGE.match(line.text):
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            yield name, line._replace(text=match[2])


def _of_kernel(lines: list[Line], paste: Paste) -> Iterator[Device]:
    kernels = [line for line in lines if line.text.startswith("Linux ")]
    for kernel in (*paste.values("python platform"), *kernels):
        if board := jetson(kernel.text):
            yield board, kernel.number
