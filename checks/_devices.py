"""One body for every GPU that is used, or for the CPU; and whose the memory is where a GPU has none left."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

from ._contract import Context, Verdict

# What a body tells of one device: what is wrong, if anything, and what it found there.
Found = tuple[str, dict[str, Any]]


def every(torch: Any, context: Context) -> list[tuple[str, str]]:
    """Name and torch's device of each; GPUs in PCI order."""
    if context.profile == "cpu":
        return [("CPU", "cpu")]
    seen = torch.cuda.device_count()
    return [(f"GPU {number} ({torch.cuda.get_device_name(number)})", f"cuda:{number}") for number in range(seen)]


def halves(torch: Any, device: str) -> list[Any]:
    """The half precisions that this device computes in itself."""
    new = device == "cpu" or torch.cuda.get_device_capability(device) >= (8, 0)
    return [torch.float16, *([torch.bfloat16] if new else [])]


def on_each(context: Context, body: Callable[[Any, str], Found], what: str) -> Verdict:
    """The claim over all devices: `what` is what holds on them where nothing is wrong."""
    torch: Any = importlib.import_module("torch")
    devices = every(torch, context)
    if len(devices) < max(len(context.gpus), 1):
        return Verdict(passed=False, summary=f"torch sees {len(devices)} GPUs of {len(context.gpus)}", hint=_HIDDEN)
    evidence: dict[str, Any] = {"torch": str(torch.__version__), "devices": {}}
    problems = []
    for name, device in devices:
        problem, found = _on(torch, device, body)
        evidence["devices"][name] = found | ({"problem": problem} if problem else {})
        if problem:
            problems.append(f"{name}: {problem}")
    if problems:
        return Verdict(passed=False, summary="; ".join(problems), evidence=evidence)
    where = devices[0][0] if len(devices) == 1 else f"{len(devices)} GPUs"
    return Verdict(passed=True, summary=f"{what} on {where}", evidence=evidence)


_HIDDEN = "CUDA_VISIBLE_DEVICES, a container without the GPU runtime, or a GPU that went away"


def _on(torch: Any, device: str, body: Callable[[Any, str], Found]) -> Found:
    if device == "cpu":
        return body(torch, device)
    try:
        torch.cuda.set_device(device)
        return body(torch, device)
    except torch.cuda.OutOfMemoryError as full:
        # No word on what is checked: an error, not a failure.
        raise MemoryError(
            f"{device} has too little left for a small check: {_holders(torch, device) or full}"
        ) from full
    except RuntimeError as problem:  # what the driver or a kernel says is the finding
        return f"{type(problem).__name__}: {str(problem).strip().splitlines()[0]}", {}


def _holders(torch: Any, device: str) -> str:
    """Who holds this GPU's memory, as the driver tells."""
    exe = shutil.which("nvidia-smi")
    uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    if not exe or not uuid:
        return ""
    asked = [exe, "--query-compute-apps=gpu_uuid,pid,process_name,used_memory", "--format=csv,noheader"]
    try:
        lines = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False).stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return ""
    rows = [[word.strip() for word in line.split(",")] for line in lines if uuid in line]
    return "; ".join(f"{row[2].rpartition('/')[2]} (PID {row[1]}) holds {row[3]}" for row in rows if len(row) == 4)
