"""Tries one body on every GPU in use, or on the CPU, and tells a full GPU from a faulty one."""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from . import _gpu_memory
from ._contract import Context, Figure, Verdict, gpus_of_one_process

# The problem of one device, or "", and its evidence, with its "figures" among that.
DeviceResult = tuple[str, dict[str, Any]]
# The same with the device's name in front.
_NamedResult = tuple[str, str, dict[str, Any]]
Body = Callable[[Any, str], DeviceResult]

_BEYOND = "beyond"
_HIDDEN = "CUDA_VISIBLE_DEVICES, a container without the GPU runtime, or a GPU that went away"


def all_devices(torch: Any, context: Context) -> list[tuple[str, str]]:
    """Return name and torch device of each device; GPUs in PCI order."""
    if context.profile == "cpu":
        return [("CPU", "cpu")]
    return [
        (f"GPU {number} ({torch.cuda.get_device_name(number)})", f"cuda:{number}")
        for number in range(torch.cuda.device_count())
    ]


def half_precisions(torch: Any, device: str) -> list[Any]:
    """Return the half precisions that this device computes natively."""
    # Before 8.0 torch emulates bfloat16, so its rounding is not that of the hardware.
    native = device == "cpu" or torch.cuda.get_device_capability(device) >= (8, 0)
    return [torch.float16, *([torch.bfloat16] if native else [])]


def try_on_each(
    context: Context,
    body: Body,
    holds: str,
    *,
    at_once: bool = True,
    least: tuple[int, int] = (0, 0),
    most: tuple[int, int] = (99, 0),
) -> Verdict:
    """Return the verdict over all devices; `holds` is the sentence that is true without problems.

    Several GPUs are tried at once, each by its own process, since starting a GPU takes as long as
    trying it. Measurements of speed are made one by one. GPUs below the `least` compute
    capability (that of the check's needs) or above the `most` are beyond the claim: nothing is
    computed on them, and they are not among the verdict's GPUs.
    """
    torch: Any = importlib.import_module("torch")
    body = partial(_unless_beyond, body, least, most)
    expected = len(gpus_of_one_process(context.gpus)) or 1
    several = context.profile == "cuda" and expected > 1
    if at_once and several and not torch.cuda.is_initialized():
        visible, results = _try_at_once(torch, context, body, expected)
    else:
        devices = all_devices(torch, context)
        visible = len(devices)
        results = [
            (name, *_try(torch, device, body)) for name, device in devices if visible >= expected
        ]
    if visible < expected:
        return Verdict(
            passed=False, summary=f"torch sees {visible} GPUs of {expected}", hint=_HIDDEN
        )
    return _verdict(context, results, holds, str(torch.__version__))


def _verdict(context: Context, results: list[_NamedResult], holds: str, version: str) -> Verdict:
    evidence: dict[str, Any] = {"torch": version, "devices": {}}
    gpus, beyond = _split_beyond(context, results)
    if beyond:
        evidence["beyond"] = beyond
    figures: list[Figure] = []
    for name, problem, observed in results:
        place = name.partition(" (")[0]
        figures += [replace(row, of={"on": place, **row.of}) for row in _figures(observed)]
        evidence["devices"][name] = observed | ({"problem": problem} if problem else {})
    problems = [f"{name}: {problem}" for name, problem, _ in results if problem]
    computed = [name for name, _, observed in results if _BEYOND not in observed]
    where = computed[0] if len(computed) == 1 else f"{len(computed)} GPUs"
    return Verdict(
        passed=not problems,
        summary="; ".join(problems) or f"{holds} on {where}",
        evidence=evidence,
        figures=tuple(figures),
        gpus=gpus,
    )


def _unless_beyond(
    body: Body, least: tuple[int, int], most: tuple[int, int], torch: Any, device: str
) -> DeviceResult:
    if device == "cpu" or least == (0, 0):
        return body(torch, device)
    own = torch.cuda.get_device_capability(device)
    if least <= own <= most:
        return body(torch, device)
    lowest, highest, has = (".".join(map(str, version)) for version in (least, most, own))
    limit = f"{lowest} is needed" if own < least else f"{highest} is the highest supported"
    return "", {_BEYOND: f"it has compute capability {has}, and {limit}"}


def _split_beyond(
    context: Context, results: list[_NamedResult]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the GPUs that computed something, and for each of the others the reason.

    Raise RuntimeError if there are only others: then nothing was found out.
    """
    ids = gpus_of_one_process(context.gpus)[: len(results)] or ("",)
    reasons = {
        gpu: observed[_BEYOND]
        for gpu, (_, _, observed) in zip(ids, results, strict=False)
        if _BEYOND in observed
    }
    if results and len(reasons) == len(results):
        raise RuntimeError(f"nothing was tried on {results[0][0]}: {next(iter(reasons.values()))}")
    return tuple(gpu for gpu in ids if gpu and gpu not in reasons), reasons


def _figures(observed: dict[str, Any]) -> list[Figure]:
    """Take the figures out of a device's evidence; from another process they come as JSON."""
    return [
        row if isinstance(row, Figure) else Figure(**{**row, "samples": tuple(row["samples"])})
        for row in observed.pop("figures", ())
    ]


def _try_at_once(
    torch: Any, context: Context, body: Body, expected: int
) -> tuple[int, list[_NamedResult]]:
    """Return how many GPUs torch sees, and the result of each."""
    # Nothing here may touch CUDA: a process that has started it cannot be forked.
    answers = []
    calls = [partial(_try_in_child, torch, context, body, number) for number in range(expected)]
    for number, (answer, status) in enumerate(run_in_forks(Path(context.scratch), calls)):
        if answer is None:
            raise ChildProcessError(
                f"GPU {number}: its process ended with status {status} without a result"
            )
        answers.append(answer)
    for key, kind in (("no_room", MemoryError), ("raised", ChildProcessError)):
        if messages := [answer[key] for answer in answers if key in answer]:
            raise kind(messages[0])
    visible = min(answer["seen"] for answer in answers)
    return visible, [tuple(answer["tried"]) for answer in answers if "tried" in answer]


def _try_in_child(torch: Any, context: Context, body: Body, number: int) -> dict[str, Any]:
    """Return the result of the GPU of this number. Runs in a process of its own."""
    try:
        devices = all_devices(torch, context)
        answer: dict[str, Any] = {"seen": len(devices)}
        if number < len(devices):
            name, device = devices[number]
            answer["tried"] = [name, *_try(torch, device, body)]
    except MemoryError as error:
        answer = {"no_room": str(error)}
    except Exception as error:  # noqa: BLE001 - it is raised again in the parent
        traceback.print_exc()
        answer = {"raised": f"GPU {number}: {type(error).__name__}: {error}"}
    return answer


def run_in_forks(
    folder: Path, calls: Sequence[Callable[[], object]], wait_s: float | None = None
) -> list[tuple[Any, int | None]]:
    """Run each call at once in a fork of its own; return its answer or None, and its status."""
    fork = multiprocessing.get_context("fork")
    files = [folder / f"fork-{number}.json" for number in range(len(calls))]
    children = [fork.Process(target=_answer, args=pair) for pair in zip(calls, files, strict=True)]
    for child in children:
        child.start()
    for child in children:
        child.join(wait_s)
    return [
        (json.loads(file.read_text()) if file.exists() else None, child.exitcode)
        for child, file in zip(children, files, strict=True)
    ]


def _answer(call: Callable[[], object], file: Path) -> None:
    aside = file.with_suffix(".aside")
    aside.write_text(json.dumps(call(), default=_plain))
    aside.replace(file)  # a process that is killed while it writes has no answer


def _plain(value: Any) -> Any:
    """Return what JSON can hold of a figure, or of anything else."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def _try(torch: Any, device: str, body: Body) -> DeviceResult:
    if device == "cpu":
        return body(torch, device)
    try:
        with errors_if_full(device, lambda: _uuid(torch, device)):
            torch.cuda.set_device(device)
            return body(torch, device)
    except RuntimeError as error:  # the words of the driver or of a kernel are the finding
        first, *_ = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {first}", {}


def _uuid(torch: Any, device: str) -> str:
    """Return the UUID without the driver's prefix; "" if even this question finds no memory."""
    with contextlib.suppress(RuntimeError):
        return str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    return ""


# torch's allocator raises a type of its own. A CUDA context, cuBLAS, Triton, NCCL and vLLM only
# say it in words.
_FULL = re.compile(
    r"out of memory|can't allocate memory|_ALLOC_FAILED|less than desired GPU memory"
    r"|No available memory for the cache|is less than the engine's budget"
)
# cuBLAS also says this if it gets no workspace, which takes tens of megabytes, and its code. With
# more free memory than this the words mean another fault.
_PERHAPS_FULL, _LITTLE = "CUBLAS_STATUS_NOT_INITIALIZED", 2**29


def means_full(message: object) -> bool:
    """Return whether a message says that a GPU has no free memory, which decides no claim."""
    text = str(message)
    return bool(_FULL.search(text)) or (_PERHAPS_FULL in text and _has_little_memory())


def _has_little_memory() -> bool:
    """Return whether this process's GPU has little free memory; False if that is not known."""
    cuda: Any = importlib.import_module("torch").cuda
    with contextlib.suppress(Exception):
        return bool(cuda.is_initialized() and cuda.mem_get_info()[0] < _LITTLE)
    return False


@contextlib.contextmanager
def errors_if_full(device: str = "a GPU", uuid: Callable[[], str] = str) -> Iterator[None]:
    """Raise MemoryError for what fails in here for lack of GPU memory: an error, not a failure."""
    try:
        yield
    except Exception as error:
        if not means_full(error):
            raise
        raise full_error(device, error, uuid()) from error


def full_error(device: str, message: object, uuid: str = "") -> MemoryError:
    holders = _holders(uuid) or " ".join(str(message).split())
    return MemoryError(f"{device} has too little free memory for a small check: {holders}")


def _holders(uuid: str) -> str:
    """Return the other processes with memory on this GPU; a container sees only its own."""
    rows = _gpu_memory.query("--query-compute-apps=gpu_uuid,pid,process_name,used_memory")
    return "; ".join(
        f"{name.rpartition('/')[2]} (PID {pid}) holds {mib} MiB"
        for _, pid, name, mib in (row for row in rows if len(row) == 4 and uuid in row[0])
        if pid != str(os.getpid())
    )
