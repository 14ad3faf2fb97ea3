"""The child that asks NVML and prints one line of JSON: whatever NVML does to it, the parent lives on.

Runs alone (`python -I nvml_child.py`) and imports nothing of this project. A call that one GPU
does not support loses that one field, never the GPU; no UUID and no serial number is asked for.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pynvml as nvml

if TYPE_CHECKING:
    from collections.abc import Callable

# An older binding lacks newer functions, an odd name may not be UTF-8: also only that field is lost.
UNANSWERED = (nvml.NVMLError, AttributeError, UnicodeDecodeError)

ANCESTOR_KINDS = {10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
SWITCH = 2  # NVML_NVLINK_DEVICE_TYPE_SWITCH
MAX_LINKS = 18


def ask(question: Callable[[], Any], errors: dict[str, str], field: str) -> Any:  # noqa: ANN401 - ctypes
    """The answer, or None and the reason under the field's name."""
    try:
        return question()
    except UNANSWERED as error:
        errors[field] = str(error)
        return None


def gpu(index: int) -> tuple[Any, dict[str, Any]]:
    """One GPU's handle and everything NVML tells of it."""
    errors: dict[str, str] = {}
    handle = ask(lambda: nvml.nvmlDeviceGetHandleByIndex(index), errors, "handle")
    if handle is None:
        return None, {"index": index, "errors": errors}
    questions: dict[str, Callable[[], Any]] = {
        "name": lambda: nvml.nvmlDeviceGetName(handle),
        "bus_id": lambda: nvml.nvmlDeviceGetPciInfo(handle).busId,
        "cc": lambda: "{}.{}".format(*nvml.nvmlDeviceGetCudaComputeCapability(handle)),
        "memory": lambda: memory(handle),
        "mig": lambda: bool(nvml.nvmlDeviceGetMigMode(handle)[0]),
        "ecc": lambda: bool(nvml.nvmlDeviceGetEccMode(handle)[0]),
        "persistence": lambda: bool(nvml.nvmlDeviceGetPersistenceMode(handle)),
        "virtualization": lambda: int(nvml.nvmlDeviceGetVirtualizationMode(handle)),
        "width": lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(handle),
        "width_max": lambda: nvml.nvmlDeviceGetMaxPcieLinkWidth(handle),
        "generation": lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle),
        "generation_max": lambda: generation_max(handle),
    }
    answers = {field: ask(question, errors, field) for field, question in questions.items()}
    answers = {field: answer for field, answer in answers.items() if answer is not None}
    if answers.get("mig"):
        answers["slices"] = slices(handle)
    return handle, {"index": index, **answers, "errors": errors}


def generation_max(handle: Any) -> int:  # noqa: ANN401 - ctypes
    """What the GPU itself can; older drivers only tell what GPU and slot can together."""
    try:
        return int(nvml.nvmlDeviceGetGpuMaxPcieLinkGeneration(handle))
    except UNANSWERED:
        return int(nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle))


def memory(handle: Any) -> int:  # noqa: ANN401 - ctypes
    """Bytes in all; the first call is announced to go with CUDA 14, the second is unknown to old drivers."""
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    except nvml.NVMLError:
        return int(nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2).total)


def slices(handle: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - ctypes
    """The MIG instances of one GPU; places without an instance answer "Not Found"."""
    found: list[dict[str, Any]] = []
    for index in range(ask(lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(handle), {}, "count") or 0):
        instance = ask(partial(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index), {}, "instance")
        if instance is not None:
            found.append({"index": index, **slice_of(instance)})
    return found


def slice_of(instance: Any) -> dict[str, Any]:  # noqa: ANN401 - ctypes
    """Name and memory of one MIG instance."""
    return {
        "name": ask(lambda: nvml.nvmlDeviceGetName(instance), {}, "name"),
        "memory": ask(lambda: memory(instance), {}, "memory"),
    }


def nvlinks(handle: Any) -> tuple[Counter[str], int]:  # noqa: ANN401 - ctypes
    """How many active NVLinks lead to which PCI device, and how many lead to a switch."""
    peers: Counter[str] = Counter()
    to_switch = 0
    for link in range(MAX_LINKS):
        try:
            if not nvml.nvmlDeviceGetNvLinkState(handle, link):
                continue
            if nvml.nvmlDeviceGetNvLinkRemoteDeviceType(handle, link) == SWITCH:
                to_switch += 1
            else:
                peers[str(nvml.nvmlDeviceGetNvLinkRemotePciInfo(handle, link).busId)] += 1
        except UNANSWERED:
            continue
    return peers, to_switch


def links(handles: dict[int, Any], bus_ids: dict[int, str]) -> tuple[list[dict[str, Any]], bool]:
    """The kind of way between every pair of GPUs, and whether NVSwitches are in it."""
    ways = {index: nvlinks(handle) for index, handle in handles.items()}
    found: list[dict[str, Any]] = []
    for one, other in combinations(sorted(handles), 2):
        direct = ways[one][0][bus_ids.get(other, "")]
        wires = direct or min(ways[one][1], ways[other][1])
        try:
            ancestor = nvml.nvmlDeviceGetTopologyCommonAncestor(handles[one], handles[other])
        except UNANSWERED:
            ancestor = None
        kind = f"NV{wires}" if wires else ANCESTOR_KINDS.get(ancestor)
        if kind:
            found.append({"a": one, "b": other, "kind": kind})
    return found, any(to_switch for _, to_switch in ways.values())


def library() -> str | None:
    """The file name of the library that was really loaded; it carries the version."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.rsplit(" ", 1)[-1]
        if "libnvidia-ml.so" in path:
            return Path(path).name
    return None


def document() -> dict[str, Any]:
    """Everything NVML tells, or the error it starts with."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return {"library": library(), "error": {"code": error.value, "text": str(error)}}
    errors: dict[str, str] = {}
    cuda = ask(nvml.nvmlSystemGetCudaDriverVersion_v2, errors, "cuda")
    count = ask(nvml.nvmlDeviceGetCount, errors, "gpus") or 0
    asked = [gpu(index) for index in range(count)]
    handles = {answers["index"]: handle for handle, answers in asked if handle is not None}
    bus_ids = {answers["index"]: answers.get("bus_id", "?") for _, answers in asked}
    pairs, switched = links(handles, bus_ids)
    return {
        "library": library(),
        "driver": ask(nvml.nvmlSystemGetDriverVersion, errors, "driver"),
        "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
        "gpus": [answers for _, answers in asked],
        "links": pairs,
        "nvswitch": switched,
        "errors": errors,
    }


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(document()) + "\n")
