"""Whether FlashInfer has or compiles a kernel here that is right: it needs nvcc, ninja and a C++ compiler for that."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from . import _devices, _numbers, _tiny_model
from ._contract import Check, Context, Needs, Verdict, whole

_SHAPE = (83, 1024)
_PATIENCE_S = 240
_HINT = (
    "FlashInfer compiles on first use: it takes CUDA_HOME or nvcc on PATH, ninja, and a C++ compiler. "
    "vLLM does without it where another attention backend is chosen: VLLM_ATTENTION_BACKEND or --attention-backend"
)
# In a process of its own, for where FlashInfer keeps what it compiles is settled when it is imported; in one for all
# GPUs, for that takes seconds.
_CODE = """
import sys, torch, flashinfer
path, *devices = sys.argv[1:]
given, found = torch.load(path), {}
for device in devices:
    try:
        if device != "cpu":
            torch.cuda.set_device(device)
        found[device] = flashinfer.silu_and_mul(given.to(device)).cpu()
    except Exception as problem:
        found[device] = f"{type(problem).__name__}: {problem}"
torch.save(found, path)
"""


def body(context: Context) -> Verdict:
    made = _made(context.scratch, [f"cuda:{number}" for number in range(len(whole(context.gpus)) or 1)])
    tried = partial(judge, gated=partial(_gated, made))
    verdict = _devices.on_each(context, tried, "FlashInfer's kernel is right")
    compiled = sorted(path.name for path in Path(context.scratch).rglob("*.so"))
    evidence = verdict.evidence | {"compiled": compiled or "nothing: FlashInfer brought the kernel with it"}
    return replace(verdict, evidence=evidence, hint=verdict.hint or ("" if verdict.passed else _HINT))


def _gated(made: dict[str, Any], given: Any, device: str) -> Any:
    found = made.get(device, "this GPU was not there")
    if isinstance(found, str):
        raise ChildProcessError(found)
    return found.to(given.device)


def _made(scratch: str, devices: list[str]) -> dict[str, Any]:
    """What FlashInfer makes of the same rows on every device, or what it says."""
    torch: Any = importlib.import_module("torch")
    path = f"{scratch}/given.pt"
    torch.save(_rows(torch), path)
    argv = [sys.executable, "-I", "-B", "-c", _CODE, path, *devices]
    path_of_launchers = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"  # ninja is in the environment
    settings = {**os.environ, **_tiny_model.environment(scratch), "PATH": path_of_launchers}
    try:
        done = subprocess.run(argv, env=settings, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return dict.fromkeys(devices, f"it did not end within {_PATIENCE_S} s")
    print(done.stdout, done.stderr, flush=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return dict.fromkeys(devices, lines[-1] if lines else f"it ended with status {done.returncode}")
    found: dict[str, Any] = torch.load(path)
    return found


def _rows(torch: Any) -> Any:
    torch.manual_seed(0)
    return torch.randn(_SHAPE).half()


def judge(torch: Any, device: str, gated: Callable[[Any, str], Any]) -> _devices.Found:
    return _numbers.judged(torch, _cases(torch, device, gated))


def _cases(torch: Any, device: str, gated: Callable[[Any, str], Any]) -> Iterator[_numbers.Case]:
    given = _rows(torch).to(device)
    gate, up = given.chunk(2, 1)
    silu = torch.nn.functional.silu
    same, exact = silu(gate.float()).half() * up, silu(gate.double()) * up.double()
    yield "silu_and_mul, float16", partial(gated, given, device), same, exact


CHECK = Check(
    name="flashinfer_compiles",
    title="FlashInfer",
    proves="FlashInfer has or compiles a kernel for every GPU, and it computes what it should",
    step=50,
    weight="should",
    on="environment",
    profile="quick",
    deadline_s=300,
    needs=Needs(packages=("torch", "flashinfer"), gpus=1, profile="cuda", distributions=("flashinfer-python",)),
    body=body,
    every_gpu=True,
)
