"""Whether Triton compiles a kernel for every GPU, and whether that kernel is right."""

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
    _tiny_model.settle(context.scratch)  # an empty cache: what was compiled before proves nothing
    return _devices.on_each(context, partial(judge, softmax=softmax), "Triton compiles, and its kernel is right")


def softmax(given: Any) -> Any:
    return importlib.import_module(f"{__package__}._triton_kernel").softmax(given)


def judge(torch: Any, device: str, softmax: Callable[[Any], Any]) -> _devices.Found:
    began = time.monotonic()
    problem, found = _numbers.judged(torch, _cases(torch, device, softmax))
    return problem, found | {"seconds": round(time.monotonic() - began, 1)}


def _cases(torch: Any, device: str, softmax: Callable[[Any], Any]) -> Iterator[_numbers.Case]:
    for dtype in _devices.halves(torch, device):
        torch.manual_seed(0)
        given = (4 * torch.randn(_SHAPE, device=device)).to(dtype)
        same, exact = (torch.softmax(given.to(of), 1) for of in (torch.float32, torch.float64))
        yield f"softmax, {_numbers.plain(dtype)}", partial(softmax, given), same.to(dtype), exact


CHECK = Check(
    name="triton_compiles",
    title="Triton",
    proves="Triton compiles a kernel for every GPU, and it computes what it should",
    step=40,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=300,
    needs=Needs(packages=("torch", "triton"), gpus=1, profile="cuda", tools=("cc gcc clang",)),
    body=body,
    every_gpu=True,
)
