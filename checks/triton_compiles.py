"""Checks that Triton compiles a kernel for every GPU, and that the kernel is right."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _devices, _numbers, _tiny_model
from ._contract import Check, Context, Needs, Verdict

_SHAPE = (83, 770)


def body(context: Context) -> Verdict:
    # With an empty cache, since an earlier compilation proves nothing.
    _tiny_model.apply_environment(context.scratch)
    return _devices.try_on_each(
        context, partial(judge, softmax=softmax), "Triton compiles, and its kernel is right"
    )


def softmax(tensor: Any) -> Any:
    return importlib.import_module(f"{__package__}._triton_kernel").softmax(tensor)


def judge(torch: Any, device: str, softmax: Callable[[Any], Any]) -> _devices.DeviceResult:
    began = time.monotonic()
    problem, evidence = _numbers.judge_cases(torch, _cases(torch, device, softmax))
    return problem, {**evidence, "seconds": round(time.monotonic() - began, 1)}


def _cases(torch: Any, device: str, softmax: Callable[[Any], Any]) -> Iterator[_numbers.Case]:
    for dtype in _devices.half_precisions(torch, device):
        torch.manual_seed(0)
        tensor = (4 * torch.randn(_SHAPE, device=device)).to(dtype)
        single, exact = (torch.softmax(tensor.to(of), 1) for of in (torch.float32, torch.float64))
        yield (
            f"softmax, {_numbers.dtype_name(dtype)}",
            partial(softmax, tensor),
            single.to(dtype),
            exact,
        )


CHECK = Check(
    title="Triton",
    proves="Triton compiles a kernel for every GPU, and it computes the right values",
    step=40,
    needs=Needs(packages=("torch", "triton"), gpus=1, profile="cuda", tools=("gcc clang $CC",)),
    body=body,
    every_gpu=True,
)
