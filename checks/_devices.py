"""One body for every GPU that is used, or for the CPU; and whose the memory is where a GPU has none left."""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from . import _gpu_memory
from ._contract import Context, Figure, Verdict, tried_by_one

# What a body tells of one device: what is wrong, if anything, and what it found there, its "figures" among that.
Found = tuple[str, dict[str, Any]]
# The same with the device's name in front.
Tried = tuple[str, str, dict[str, Any]]


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


def on_each(
    context: Context,
    body: Callable[[Any, str], Found],
    what: str,
    *,
    at_once: bool = True,
    least: tuple[int, int] = (0, 0),
    most: tuple[int, int] = (99, 0),
) -> Verdict:
    """The claim over all devices: `what` is what holds on them where nothing is wrong.

    Several GPUs are tried at once, each by a process of its own: to wake one up takes as long as to try it. What is
    timed is tried one by one. GPUs below the `least` compute capability, that of the check's needs, or above the
    `most` are beyond the claim: nothing was computed on them, and they are not among the verdict's.
    """
    torch: Any = importlib.import_module("torch")
    body = partial(_unless_beyond, body, least, most)
    wanted = len(tried_by_one(context.gpus)) or 1
    if at_once and context.profile == "cuda" and wanted > 1 and not torch.cuda.is_initialized():
        seen, tried = _at_once(torch, context, body, wanted)
    else:
        devices = every(torch, context)
        seen = len(devices)
        tried = [(name, *_on(torch, device, body)) for name, device in devices if seen >= wanted]
    if seen < wanted:
        return Verdict(passed=False, summary=f"torch sees {seen} GPUs of {wanted}", hint=_HIDDEN)
    return _over_all(context, tried, what, str(torch.__version__))


def _over_all(context: Context, tried: list[Tried], what: str, version: str) -> Verdict:
    evidence: dict[str, Any] = {"torch": version, "devices": {}}
    problems, figures = [], list[Figure]()
    gpus, beyond = _apart_from_beyond(context, tried)
    if beyond:
        evidence["beyond"] = beyond
    for name, problem, found in tried:
        figures += [replace(figure, of={"on": name.partition(" (")[0], **figure.of}) for figure in _figures(found)]
        evidence["devices"][name] = found | ({"problem": problem} if problem else {})
        if problem:
            problems.append(f"{name}: {problem}")
    computed = [name for name, _, found in tried if _BEYOND not in found]
    where = computed[0] if len(computed) == 1 else f"{len(computed)} GPUs"
    summary = "; ".join(problems) or f"{what} on {where}"
    return Verdict(passed=not problems, summary=summary, evidence=evidence, figures=tuple(figures), gpus=gpus)


_BEYOND = "beyond"


def _unless_beyond(
    body: Callable[[Any, str], Found], least: tuple[int, int], most: tuple[int, int], torch: Any, device: str
) -> Found:
    if device == "cpu" or least == (0, 0):
        return body(torch, device)
    own = torch.cuda.get_device_capability(device)
    wanted, limit, has = (".".join(map(str, each)) for each in (least, most, own))
    if own < least:
        return "", {_BEYOND: f"it has compute capability {has}, and {wanted} is needed"}
    if own > most:
        return "", {_BEYOND: f"it has compute capability {has}, and {limit} is the last that this is for"}
    return body(torch, device)


def _apart_from_beyond(context: Context, tried: list[Tried]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The GPUs on which something was computed, and the reason of each of the others; where there are only others,
    nobody has found out anything."""
    ids = tried_by_one(context.gpus)[: len(tried)] or ("",)
    reasons = {gpu: found[_BEYOND] for gpu, (_, _, found) in zip(ids, tried, strict=False) if _BEYOND in found}
    if tried and len(reasons) == len(tried):
        raise RuntimeError(f"nothing was tried on {tried[0][0]}: {next(iter(reasons.values()))}")
    return tuple(gpu for gpu in ids if gpu and gpu not in reasons), reasons


def _figures(found: dict[str, Any]) -> list[Figure]:
    """What a body measured, which may have come from another process."""
    figures = found.pop("figures", ())
    return [one if isinstance(one, Figure) else Figure(**{**one, "samples": tuple(one["samples"])}) for one in figures]


_HIDDEN = "CUDA_VISIBLE_DEVICES, a container without the GPU runtime, or a GPU that went away"


def _at_once(torch: Any, context: Context, body: Callable[[Any, str], Found], wanted: int) -> tuple[int, list[Tried]]:
    """How many GPUs torch sees, and what came of each. Nothing here touches CUDA: no fork could use it then."""
    fork = multiprocessing.get_context("fork")
    answers = [Path(context.scratch) / f"gpu-{number}.json" for number in range(wanted)]
    children = [fork.Process(target=_apart, args=(torch, context, body, *one)) for one in enumerate(answers)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    found = []
    for number, (child, answer) in enumerate(zip(children, answers, strict=True)):
        if not answer.exists():
            raise ChildProcessError(f"GPU {number}: its process ended with status {child.exitcode} and said nothing")
        found.append(json.loads(answer.read_text()))
    if lacking_room := next((each["no_room"] for each in found if "no_room" in each), ""):
        raise MemoryError(lacking_room)
    if raised := next((each["raised"] for each in found if "raised" in each), ""):
        raise ChildProcessError(raised)
    return min(each["seen"] for each in found), [tuple(each["tried"]) for each in found if "tried" in each]


def _apart(torch: Any, context: Context, body: Callable[[Any, str], Found], number: int, answer: Path) -> None:
    """In the child: what comes of the GPU of this number."""
    try:
        devices = every(torch, context)
        told: dict[str, Any] = {"seen": len(devices)}
        if number < len(devices):
            name, device = devices[number]
            told["tried"] = [name, *_on(torch, device, body)]
        text = json.dumps(
            told, default=lambda one: asdict(one) if is_dataclass(one) and not isinstance(one, type) else str(one)
        )
    except MemoryError as problem:
        text = json.dumps({"no_room": str(problem)})
    except Exception as problem:  # noqa: BLE001 - it is raised again where somebody hears it
        traceback.print_exc()
        text = json.dumps({"raised": f"GPU {number}: {type(problem).__name__}: {problem}"})
    aside = answer.with_suffix(".aside")
    aside.write_text(text)
    aside.replace(answer)


# Torch's allocator has a type for it; a context, cuBLAS, Triton, NCCL and vLLM that get none have words alone.
_FULL = re.compile(
    r"out of memory|can't allocate memory|_ALLOC_FAILED|less than desired GPU memory|No available memory for the cache"
    r"|is less than the engine's budget"
)
# cuBLAS says this too where it gets no workspace: tens of megabytes, and its code. With more left than this it is no
# word on memory.
_PERHAPS_FULL, _LITTLE = "CUBLAS_STATUS_NOT_INITIALIZED", 2**29


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
    said = str(problem)
    return bool(_FULL.search(said)) or (_PERHAPS_FULL in said and _little_left())


def _little_left() -> bool:
    """On the GPU that this process is at; where it is at none, or that does not tell, nobody knows."""
    cuda: Any = importlib.import_module("torch").cuda
    with contextlib.suppress(Exception):
        return bool(cuda.is_initialized() and cuda.mem_get_info()[0] < _LITTLE)
    return False


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
    rows = _gpu_memory.asked("--query-compute-apps=gpu_uuid,pid,process_name,used_memory")
    others = [row for row in rows if len(row) == 4 and uuid in row[0] and row[1] != str(os.getpid())]
    return "; ".join(f"{name.rpartition('/')[2]} (PID {pid}) holds {mib} MiB" for _, pid, name, mib in others)
