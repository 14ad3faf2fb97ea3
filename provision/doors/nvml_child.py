"""The child that asks NVML and prints one line of JSON: whatever NVML does to it, the parent lives on.

Runs alone (`python -I nvml_child.py`) and imports nothing of this project. A call that one GPU
does not support loses that one field, never the GPU; no UUID and no serial number is asked for.
"""

from __future__ import annotations

import ctypes
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
FABRIC_STATES = {0: "not supported", 1: "not started", 2: "in progress", 3: "completed"}
SWITCH = 2  # NVML_NVLINK_DEVICE_TYPE_SWITCH
MAX_LINKS = 18
MAX_PROCESSES = 100
SM = 1  # NVML_CLOCK_SM
UNCORRECTED, SINCE_START, EVER = 1, 0, 1  # of nvmlMemoryErrorType_t and nvmlEccCounterType_t


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
        "memory_errors": lambda: memory_errors(handle),
        "clocks": lambda: clocks(handle),
        "throttling": lambda: throttling(handle),
        "processes": lambda: processes(handle),
        "fabric": lambda: fabric(handle),
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


def several(questions: dict[str, Callable[[], int]]) -> dict[str, int]:
    """Numbers that belong together; those that are not supported are left out, and all of them is an error."""
    errors: dict[str, str] = {}
    answers = {field: ask(question, errors, field) for field, question in questions.items()}
    answers = {field: int(answer) for field, answer in answers.items() if answer is not None}
    if not answers:
        raise nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)
    return answers


def memory_errors(handle: Any) -> dict[str, int]:  # noqa: ANN401 - ctypes
    """Errors that ECC could not correct, and the rows or pages that were, or wait to be, taken out of use."""
    errors: dict[str, str] = {}
    rows = ask(lambda: nvml.nvmlDeviceGetRemappedRows(handle), errors, "rows")
    found = dict(
        zip(("rows_correctable", "rows_uncorrectable", "remap_pending", "remap_failed"), rows or (), strict=False)
    )
    questions = {
        "uncorrected": lambda: nvml.nvmlDeviceGetTotalEccErrors(handle, UNCORRECTED, SINCE_START),
        "uncorrected_ever": lambda: nvml.nvmlDeviceGetTotalEccErrors(handle, UNCORRECTED, EVER),
        "pages_pending": lambda: nvml.nvmlDeviceGetRetiredPagesPendingStatus(handle),
    }
    return several({**{field: partial(int, number) for field, number in found.items()}, **questions})


def clocks(handle: Any) -> dict[str, int]:  # noqa: ANN401 - ctypes
    """In MHz and mW: what the GPU does now, what it is held to, and what it came with."""
    return several(
        {
            "sm": lambda: nvml.nvmlDeviceGetClockInfo(handle, SM),
            "sm_max": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, SM),
            "application": lambda: nvml.nvmlDeviceGetApplicationsClock(handle, SM),
            "application_default": lambda: nvml.nvmlDeviceGetDefaultApplicationsClock(handle, SM),
            "power": lambda: nvml.nvmlDeviceGetPowerManagementLimit(handle),
            "power_default": lambda: nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle),
        }
    )


def throttling(handle: Any) -> int:  # noqa: ANN401 - ctypes
    """The bits of what holds the clocks down now; older drivers know them by an older name."""
    try:
        return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except UNANSWERED:
        return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


def processes(handle: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - ctypes
    """Who computes on this GPU: only the program's name, since arguments may hold secrets."""
    found = nvml.nvmlDeviceGetComputeRunningProcesses(handle)[:MAX_PROCESSES]
    return [{"pid": one.pid, "name": process_name(one.pid), "memory": one.usedGpuMemory} for one in found]


def process_name(pid: int) -> str:
    """The last part of the program's path; empty where the process is another container's."""
    said = ask(partial(nvml.nvmlSystemGetProcessName, pid), {}, "name") or ""
    return Path(said.partition(" ")[0]).name


def fabric(handle: Any) -> str:  # noqa: ANN401 - ctypes
    """How far the GPU has come with joining its NVLink fabric."""
    info = nvml.c_nvmlGpuFabricInfoV_t()
    nvml.nvmlDeviceGetGpuFabricInfoV(handle, ctypes.byref(info))
    state = FABRIC_STATES.get(info.state, f"state {info.state}")
    return f"failed with NVML error {info.status}" if state == "completed" and info.status else state


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
