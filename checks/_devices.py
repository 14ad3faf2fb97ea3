"""One body for every GPU that is used, or for the CPU; and whose the memory is where a GPU has none left."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

from ._contract import Context, Verdict, whole

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
    wanted = len(whole(context.gpus)) or 1
    if len(devices) < wanted:
        return Verdict(passed=False, summary=f"torch sees {len(devices)} GPUs of {wanted}", hint=_HIDDEN)
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


# Torch's allocator has a type for it; a context, cuBLAS, Triton, NCCL and vLLM that get none have words alone.
_FULL = re.compile(r"out of memory|_ALLOC_FAILED|less than desired GPU memory|No available memory for the cache")


def _on(torch: Any, device: str, body: Callable[[Any, str], Found]) -> Found:
    if device == "cpu":
        return body(torch, device)
    try:
        with room(device, lambda: _uuid(torch, device)):
            torch.cuda.set_device(device)
            return body(torch, device)
    except RuntimeError as problem:  # what the driver or a kernel says is the finding
        first, *_ = str(problem).strip().splitlines() or [""]
        return f"{type(problem).__name__}: {first}", {}


def _uuid(torch: Any, device: str) -> str:
    """Without the driver's prefix; nothing where there is no room for this question either."""
    with contextlib.suppress(RuntimeError):
        return str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    return ""


def full(problem: object) -> bool:
    """Whether this says that a GPU has no memory left, which is no word on what is checked."""
    return bool(_FULL.search(str(problem)))


@contextlib.contextmanager
def room(where: str = "a GPU", uuid: Callable[[], str] = str) -> Iterator[None]:
    """Makes an error, and not a failure, of what ends in here for want of memory: it says whose that is."""
    try:
        yield
    except Exception as problem:
        if not full(problem):
            raise
        raise lacking(where, problem, uuid()) from problem


def lacking(where: str, problem: object, uuid: str = "") -> MemoryError:
    said = _holders(uuid) or " ".join(str(problem).split())
    return MemoryError(f"{where} has too little left for a small check: {said}")


def _holders(uuid: str) -> str:
    """Who else holds memory of this GPU, or of any, as the driver tells; in a container it shows nobody outside."""
    exe = shutil.which("nvidia-smi")
    if not exe:
        return ""
    asked = [exe, "--query-compute-apps=gpu_uuid,pid,process_name,used_memory", "--format=csv,noheader"]
    try:
        lines = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False).stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return ""
    rows = [[word.strip() for word in line.split(",")] for line in lines if uuid in line]
    others = [row for row in rows if len(row) == 4 and row[1] != str(os.getpid())]
    return "; ".join(f"{row[2].rpartition('/')[2]} (PID {row[1]}) holds {row[3]}" for row in others)
