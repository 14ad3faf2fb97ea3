"""Whether vLLM's own RMS norm is right, alone and with the residual added, against 64 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _devices, _numbers, _vllm_operators
from ._contract import Check, Context, Needs, Verdict

_SHAPES = ((83, 4096), (1, 5120), (5, 768))
_EPSILON = 1e-5


def body(context: Context) -> Verdict:
    return _devices.on_each(context, partial(judge, plain=plain, added=added), "vLLM's RMS norm is right")


def plain(given: Any, weight: Any) -> Any:
    found = given.clone().fill_(float("nan"))
    _vllm_operators.call("rms_norm", found, given, weight, _EPSILON)
    return found


def added(given: Any, residual: Any, weight: Any) -> tuple[Any, Any]:
    """Both in place: what is normed, and the sum."""
    found, total = given.clone(), residual.clone()
    _vllm_operators.call("fused_add_rms_norm", found, total, weight, _EPSILON)
    return found, total


def judge(
    torch: Any, device: str, plain: Callable[[Any, Any], Any], added: Callable[[Any, Any, Any], tuple[Any, Any]]
) -> _devices.Found:
    return _numbers.judged(torch, _cases(torch, device, plain, added))


def _cases(torch: Any, device: str, plain: Callable[..., Any], added: Callable[..., Any]) -> Iterator[_numbers.Case]:
    for dtype in _devices.halves(torch, device):
        for shape in _SHAPES:
            torch.manual_seed(0)
            given, residual = (torch.randn(shape, device=device).to(dtype) for _ in range(2))
            weight = torch.randn(shape[1], device=device).to(dtype)
            name = f"{_numbers.plain(dtype)} {shape[0]} x {shape[1]}"
            exact = _normed(torch, given, torch.float64) * weight.double()
            normed = _normed(torch, given, torch.float32)
            # Twice rounded, before the weight and after it.
            same = _numbers.books(torch, normed.to(dtype) * weight, normed * weight.float())
            yield name, partial(plain, given, weight), same, exact
            call = partial(_stacked, torch, added, given, residual, weight)
            yield f"{name} with the residual", call, *_with_residual(torch, given, residual, weight)


def _with_residual(torch: Any, given: Any, residual: Any, weight: Any) -> tuple[Any, Any]:
    """By the book, and exactly."""
    total = given.double() + residual.double()
    exact = _normed(torch, total, torch.float64) * weight.double()
    normed = _normed(torch, given + residual, torch.float32).to(given.dtype) * weight
    # The kernel that cuts off does so to the sum too, whose mean square it takes before.
    scale = torch.rsqrt(total.square().mean(-1, keepdim=True) + _EPSILON).float()
    cut = _numbers.cut_off(torch, total).float()
    same = _numbers.books(
        torch, torch.stack((normed, given + residual)), torch.stack((cut * scale * weight.float(), cut))
    )
    return same, torch.stack((exact, total))


def _stacked(torch: Any, added: Callable[..., tuple[Any, Any]], *given: Any) -> Any:
    return torch.stack(added(*given))


def _normed(torch: Any, given: Any, precision: Any) -> Any:
    given = given.to(precision)
    return given * torch.rsqrt(given.square().mean(-1, keepdim=True) + _EPSILON)


CHECK = Check(
    name="vllm_rms_norm",
    title="vLLM's RMS norm",
    proves="vLLM's rms_norm and fused_add_rms_norm compute on every device what their names say",
    step=50,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=300,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
    every_gpu=True,
)
