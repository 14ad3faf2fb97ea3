"""Checks that torch.compile makes a kernel here that computes what the function does."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from . import _devices, _numbers, _tiny_model
from ._contract import Check, Context, Needs, Verdict

_SHAPE = (83, 770)
_LOG = "the log of this check has the compiler's output"
_SPACE = (
    "it hands paths to the compiler without quotes, "
    "and this environment's has a space: --prefix DIR"
)
_OFF = "TORCH_COMPILE_DISABLE and TORCHDYNAMO_DISABLE switch torch.compile off"


def body(context: Context) -> Verdict:
    # With an empty cache, since an earlier compilation proves nothing.
    _tiny_model.apply_environment(context.scratch)
    # Otherwise torch starts dozens of processes for this one kernel.
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    torch: Any = importlib.import_module("torch")
    compiler = partial(torch.compile, fullgraph=True, dynamic=False)
    verdict = _devices.try_on_each(
        context, lambda torch, device: judge(torch, compiler, device), "torch.compile is right"
    )
    if verdict.passed or verdict.hint:
        return verdict
    return replace(verdict, hint=_SPACE if " " in str(torch.__file__) else _LOG)


def judge(torch: Any, compiler: Callable[..., Any], device: str) -> _devices.DeviceResult:
    began, before = time.monotonic(), _graphs()
    problem, evidence = _numbers.judge_cases(torch, _cases(torch, compiler, device))
    if not problem and _graphs() == before:
        problem = f"nothing was compiled; {_OFF}"
    return problem, {**evidence, "seconds": round(time.monotonic() - began, 1)}


def _cases(torch: Any, compiler: Callable[..., Any], device: str) -> Iterator[_numbers.Case]:
    """Yield an activation and a norm, which vLLM has torch.compile join."""

    def function(tensor: Any, weight: Any) -> Any:
        gated = torch.nn.functional.silu(tensor) * weight
        return gated * torch.rsqrt(gated.square().mean(-1, keepdim=True) + 1e-5)

    def compiled(*inputs: Any) -> Any:
        return compiler(function)(*inputs)

    dtype = _devices.half_precisions(torch, device)[-1]
    torch.manual_seed(0)
    tensor, weight = (torch.randn(_SHAPE, device=device).to(dtype) for _ in range(2))
    yield (
        f"{_numbers.dtype_name(dtype)} {_SHAPE[0]} x {_SHAPE[1]}",
        partial(compiled, tensor, weight),
        function(tensor, weight),
        function(tensor.double(), weight.double()),
    )


def _graphs() -> int:
    return int(importlib.import_module("torch._dynamo.utils").counters["stats"]["unique_graphs"])


CHECK = Check(
    title="torch.compile",
    proves="torch.compile makes a kernel on every device that computes what the function does",
    step=40,
    needs=Needs(packages=("torch",), gpus=1, tools=("c++ g++ clang++",)),
    body=body,
    every_gpu=True,
)
