"""Whether torch.compile makes a kernel here that computes what the function does."""

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


def body(context: Context) -> Verdict:
    _tiny_model.settle(context.scratch)  # an empty cache: what was compiled before proves nothing
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # else dozens of processes are started for one kernel
    torch: Any = importlib.import_module("torch")
    compiler = partial(torch.compile, fullgraph=True, dynamic=False)
    verdict = _devices.on_each(context, lambda _, device: judge(torch, compiler, device), "torch.compile is right")
    return verdict if verdict.passed else replace(verdict, hint=verdict.hint or _hint(str(torch.__file__)))


def _hint(place: str) -> str:
    if " " in place:
        return "it hands paths to the compiler without quotes, and this environment's has a space: --prefix DIR"
    return "the log of this check has what the compiler said"


def judge(torch: Any, compiler: Callable[..., Any], device: str) -> _devices.Found:
    began, before = time.monotonic(), _graphs()
    problem, found = _numbers.judged(torch, _cases(torch, compiler, device))
    if not problem and _graphs() == before:
        problem = "nothing was compiled; TORCH_COMPILE_DISABLE and TORCHDYNAMO_DISABLE switch torch.compile off"
    return problem, found | {"seconds": round(time.monotonic() - began, 1)}


def _cases(torch: Any, compiler: Callable[..., Any], device: str) -> Iterator[_numbers.Case]:
    """An activation and a norm: what vLLM has torch.compile put together."""

    def function(given: Any, weight: Any) -> Any:
        gated = torch.nn.functional.silu(given) * weight
        return gated * torch.rsqrt(gated.square().mean(-1, keepdim=True) + 1e-5)

    dtype = _devices.halves(torch, device)[-1]
    torch.manual_seed(0)
    given, weight = (torch.randn(_SHAPE, device=device).to(dtype) for _ in range(2))
    exact = function(given.double(), weight.double())
    call = partial(_compiled, compiler, function, given, weight)
    yield f"{_numbers.plain(dtype)} {_SHAPE[0]} x {_SHAPE[1]}", call, function(given, weight), exact


def _compiled(compiler: Callable[..., Any], function: Callable[..., Any], *given: Any) -> Any:
    return compiler(function)(*given)


def _graphs() -> int:
    counters = importlib.import_module("torch._dynamo.utils").counters
    return int(counters["stats"]["unique_graphs"])


CHECK = Check(
    name="torch_compiles",
    title="torch.compile",
    proves="torch.compile makes a kernel on every device that computes what the function does",
    step=40,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=300,
    needs=Needs(packages=("torch",), gpus=1, tools=("c++ g++ clang++",)),
    body=body,
    every_gpu=True,
)
