"""The child that reads NVML and prints one line of JSON: a crash of NVML never hits the parent.

It runs alone (`python -I nvml_child.py`) and imports nothing of this project. A call that a GPU
does not support loses one field, never the GPU. UUIDs and serial numbers are never read.
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

# An older binding lacks newer functions, a name may not be UTF-8: each loses one field only.
UNANSWERED = (nvml.NVMLError, AttributeError, UnicodeDecodeError)

ANCESTOR_KINDS = {10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
FABRIC_STATES = {0: "not supported", 1: "not started", 2: "in progress", 3: "completed"}
SWITCH = 2  # NVML_NVLINK_DEVICE_TYPE_SWITCH
MAX_LINKS = 18
MAX_PROCESSES = 100
SM = 1  # NVML_CLOCK_SM
UNCORRECTED, SINCE_START, EVER = 1, 0, 1  # of nvmlMemoryErrorType_t and nvmlEccCounterType_t


def ask(question: Callable[[], Any], errors: dict[str, str], field: str) -> Any:  # noqa: ANN401 - ctypes has no types
    """Return the answer, or None after noting the reason under the field's name."""
    try:
        return question()
    except UNANSWERED as error:
        errors[field] = str(error)
        return None


def gpu(index: int) -> tuple[Any, dict[str, Any]]:
    """Return a GPU's handle and everything that NVML reports about it."""
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
        # Older drivers report the generation of GPU and slot together.
        "generation_max": lambda: first_known(
            lambda: nvml.nvmlDeviceGetGpuMaxPcieLinkGeneration(handle),
            lambda: nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle),
        ),
        "memory_errors": lambda: memory_errors(handle),
        "clocks": lambda: clocks(handle),
        # The bits of the reasons that lower the clocks; older drivers use an older name.
        "throttling": lambda: first_known(
            lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
            lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
        ),
        "processes": lambda: processes(handle),
        "fabric": lambda: fabric(handle),
    }
    answers = {
        field: answer
        for field, question in questions.items()
        if (answer := ask(question, errors, field)) is not None
    }
    if answers.get("mig"):
        answers["slices"] = slices(handle)
    return handle, {"index": index, **answers, "errors": errors}


def first_known(question: Callable[[], int], otherwise: Callable[[], int]) -> int:
    """Return the answer to a question, or to another one that such a driver knows."""
    try:
        return int(question())
    except UNANSWERED:
        return int(otherwise())


def memory(handle: Any) -> int:  # noqa: ANN401 - ctypes
    """Return the total memory in bytes.

    The first call will be removed with CUDA 14, the second is unknown to old drivers.
    """
    return first_known(
        lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total,
        lambda: nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2).total,
    )


def several(questions: dict[str, Callable[[], int]]) -> dict[str, int]:
    """Return the supported ones of several numbers; raise NVMLError if none is supported."""
    errors: dict[str, str] = {}
    answers = {
        field: int(answer)
        for field, question in questions.items()
        if (answer := ask(question, errors, field)) is not None
    }
    if not answers:
        raise nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)
    return answers


def memory_errors(handle: Any) -> dict[str, int]:  # noqa: ANN401 - ctypes
    """Return the counts of uncorrected ECC errors and of retired rows and pages."""
    errors: dict[str, str] = {}
    rows = ask(lambda: nvml.nvmlDeviceGetRemappedRows(handle), errors, "rows")
    fields = ("rows_correctable", "rows_uncorrectable", "remap_pending", "remap_failed")
    remapped = dict(zip(fields, rows or (), strict=False))
    questions = {
        "uncorrected": lambda: nvml.nvmlDeviceGetTotalEccErrors(handle, UNCORRECTED, SINCE_START),
        "uncorrected_ever": lambda: nvml.nvmlDeviceGetTotalEccErrors(handle, UNCORRECTED, EVER),
        "pages_pending": lambda: nvml.nvmlDeviceGetRetiredPagesPendingStatus(handle),
    }
    return several(
        {**{field: partial(int, number) for field, number in remapped.items()}, **questions}
    )


def clocks(handle: Any) -> dict[str, int]:  # noqa: ANN401 - ctypes
    """Return clocks in MHz and power limits in mW: current, configured and default ones."""
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


def processes(handle: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - ctypes
    """Return the processes on this GPU, by program name: their arguments may hold secrets."""
    return [
        {"pid": process.pid, "name": process_name(process.pid), "memory": process.usedGpuMemory}
        for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)[:MAX_PROCESSES]
    ]


def process_name(pid: int) -> str:
    """Return the last part of the program's path; "" if it runs in another container."""
    command = ask(partial(nvml.nvmlSystemGetProcessName, pid), {}, "name") or ""
    return Path(command.partition(" ")[0]).name


def fabric(handle: Any) -> str:  # noqa: ANN401 - ctypes
    info = nvml.c_nvmlGpuFabricInfoV_t()
    nvml.nvmlDeviceGetGpuFabricInfoV(handle, ctypes.byref(info))
    state = FABRIC_STATES.get(info.state, f"state {info.state}")
    return (
        f"failed with NVML error {info.status}" if state == "completed" and info.status else state
    )


def slices(handle: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - ctypes
    instances: list[dict[str, Any]] = []
    for index in range(ask(lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(handle), {}, "count") or 0):
        instance = ask(
            partial(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index), {}, "instance"
        )
        if instance is not None:  # a slot without an instance answers "Not Found"
            instances.append({"index": index, **slice_of(instance)})
    return instances


def slice_of(instance: Any) -> dict[str, Any]:  # noqa: ANN401 - ctypes
    return {
        "name": ask(lambda: nvml.nvmlDeviceGetName(instance), {}, "name"),
        "memory": ask(lambda: memory(instance), {}, "memory"),
    }


def nvlinks(handle: Any) -> tuple[Counter[str], int]:  # noqa: ANN401 - ctypes
    """Return the number of active NVLinks to each PCI device, and to switches."""
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
    """Return the kind of link between every pair of GPUs, and whether NVSwitches are present."""
    of_gpu = {index: nvlinks(handle) for index, handle in handles.items()}
    pairs: list[dict[str, Any]] = []
    for a, b in combinations(sorted(handles), 2):
        wires = of_gpu[a][0][bus_ids.get(b, "")] or min(of_gpu[a][1], of_gpu[b][1])
        try:
            ancestor = nvml.nvmlDeviceGetTopologyCommonAncestor(handles[a], handles[b])
        except UNANSWERED:
            ancestor = None
        kind = f"NV{wires}" if wires else ANCESTOR_KINDS.get(ancestor)
        if kind:
            pairs.append({"a": a, "b": b, "kind": kind})
    return pairs, any(to_switch for _, to_switch in of_gpu.values())


def library() -> str | None:
    """Return the file name of the loaded library, which carries its version."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    paths = (Path(line.rsplit(" ", 1)[-1]) for line in lines if "libnvidia-ml.so" in line)
    return next((path.name for path in paths), None)


def document() -> dict[str, Any]:
    """Return everything that NVML reports, or the error of its start."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return {"library": library(), "error": {"code": error.value, "text": str(error)}}
    errors: dict[str, str] = {}
    cuda = ask(nvml.nvmlSystemGetCudaDriverVersion_v2, errors, "cuda")
    count = ask(nvml.nvmlDeviceGetCount, errors, "gpus") or 0
    gpus = [gpu(index) for index in range(count)]
    handles = {answers["index"]: handle for handle, answers in gpus if handle is not None}
    pairs, switched = links(
        handles, {answers["index"]: answers.get("bus_id", "?") for _, answers in gpus}
    )
    return {
        "library": library(),
        "driver": ask(nvml.nvmlSystemGetDriverVersion, errors, "driver"),
        "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
        "gpus": [answers for _, answers in gpus],
        "links": pairs,
        "nvswitch": switched,
        "errors": errors,
    }


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(document()) + "\n")
