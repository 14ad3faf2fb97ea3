"""Checks that FlashInfer has, or can compile, a kernel here that computes the right values."""

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
from ._contract import Check, Context, Needs, Verdict, whole_gpus

_SHAPE = (83, 1024)
_LIMIT_S = 240
_HINT = (
    "FlashInfer compiles on first use: it needs CUDA_HOME or nvcc on PATH, ninja, and a C++ "
    "compiler. vLLM runs without it if another attention backend is chosen: --attention-backend"
)
# In a process of its own, because FlashInfer chooses the folder for what it compiles when it is
# imported; in one process for all GPUs, because the import takes seconds.
_CODE = """
import sys, torch, flashinfer
path, *devices = sys.argv[1:]
rows, answers = torch.load(path), {}
for device in devices:
    try:
        if device != "cpu":
            torch.cuda.set_device(device)
        answers[device] = flashinfer.silu_and_mul(rows.to(device)).cpu()
    except Exception as problem:
        answers[device] = f"{type(problem).__name__}: {problem}"
torch.save(answers, path)
"""


def body(context: Context) -> Verdict:
    answers = compute(
        context.scratch, [f"cuda:{number}" for number in range(len(whole_gpus(context.gpus)) or 1)]
    )
    verdict = _devices.try_on_each(
        context, partial(judge, gated=partial(answer, answers)), "FlashInfer's kernel is right"
    )
    compiled = sorted(path.name for path in Path(context.scratch).rglob("*.so"))
    brought = "nothing: FlashInfer brought the kernel with it"
    return replace(
        verdict,
        evidence={**verdict.evidence, "compiled": compiled or brought},
        hint=verdict.hint or ("" if verdict.passed else _HINT),
    )


def answer(answers: dict[str, Any], tensor: Any, device: str) -> Any:
    """Return the answer of one device. Raise ChildProcessError if there is only a message."""
    result = answers.get(device, "this GPU was not there")
    if isinstance(result, str):
        raise ChildProcessError(result)
    return result.to(tensor.device)


def compute(scratch: str, devices: list[str]) -> dict[str, Any]:
    """Return FlashInfer's answer for the same rows on every device, or its message."""
    torch: Any = importlib.import_module("torch")
    file = f"{scratch}/given.pt"
    torch.save(_rows(torch), file)
    argv = [sys.executable, "-I", "-B", "-c", _CODE, file, *devices]
    # ninja may be installed in the environment only.
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    # Nothing that another check has compiled may stand in for the compilation here.
    own = {"PATH": path, "FLASHINFER_WORKSPACE_BASE": scratch}
    variables = {**os.environ, **_tiny_model.environment(scratch), **own}
    try:
        done = subprocess.run(
            argv, env=variables, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return dict.fromkeys(devices, f"it did not end within {_LIMIT_S} s")
    print(done.stdout, done.stderr, flush=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return dict.fromkeys(
            devices, lines[-1] if lines else f"it ended with status {done.returncode}"
        )
    answers: dict[str, Any] = torch.load(file)
    return answers


def _rows(torch: Any) -> Any:
    torch.manual_seed(0)
    return torch.randn(_SHAPE).half()


@_numbers.judged
def judge(torch: Any, device: str, gated: Callable[[Any, str], Any]) -> Iterator[_numbers.Case]:
    tensor = _rows(torch).to(device)
    gate, up = tensor.chunk(2, 1)
    silu = torch.nn.functional.silu
    yield (
        "silu_and_mul, float16",
        partial(gated, tensor, device),
        silu(gate.float()).half() * up,
        silu(gate.double()) * up.double(),
    )


CHECK = Check(
    title="FlashInfer",
    proves="FlashInfer has or compiles a kernel for every GPU, and it computes the right values",
    step=50,
    weight="should",
    needs=Needs(
        packages=("torch", "flashinfer"),
        gpus=1,
        profile="cuda",
        distributions=("flashinfer-python",),
    ),
    body=body,
    every_gpu=True,
)
