"""Checks vLLM's RMS norm, alone and with the residual added, against 64 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _devices, _numbers, _vllm_operators
from ._contract import Check, Context, Needs, Verdict

_SHAPES = ((83, 4096), (1, 5120), (5, 768))
_EPSILON = 1e-5

# The norm of rows with a weight, and the same with a residual: norm and sum.
Norm = Callable[[Any, Any], Any]
AddedNorm = Callable[[Any, Any, Any], tuple[Any, Any]]


def body(context: Context) -> Verdict:
    return _devices.try_on_each(
        context, partial(judge, plain=plain, added=added), "vLLM's RMS norm is right"
    )


def plain(tensor: Any, weight: Any) -> Any:
    output = tensor.clone().fill_(float("nan"))  # a value that is not written shows
    _vllm_operators.call("rms_norm", output, tensor, weight, _EPSILON)
    return output


def added(tensor: Any, residual: Any, weight: Any) -> tuple[Any, Any]:
    """Return the norm of the sum, and the sum; the operator writes both in place."""
    output, total = tensor.clone(), residual.clone()
    _vllm_operators.call("fused_add_rms_norm", output, total, weight, _EPSILON)
    return output, total


@_numbers.judged
def judge(torch: Any, device: str, plain: Norm, added: AddedNorm) -> Iterator[_numbers.Case]:
    for dtype in _devices.half_precisions(torch, device):
        for shape in _SHAPES:
            torch.manual_seed(0)
            tensor, residual = (torch.randn(shape, device=device).to(dtype) for _ in range(2))
            weight = torch.randn(shape[1], device=device).to(dtype)
            name = f"{_numbers.dtype_name(dtype)} {shape[0]} x {shape[1]}"
            exact = norm(torch, tensor, torch.float64) * weight.double()
            normed = norm(torch, tensor, torch.float32)
            # Rounded twice, before the weight and after it.
            rounded, in_32_bits = normed.to(dtype) * weight, normed * weight.float()
            reference = _numbers.accepted_roundings(torch, rounded, in_32_bits)
            yield name, partial(plain, tensor, weight), reference, exact
            yield (
                f"{name} with the residual",
                partial(_stack, torch, added, tensor, residual, weight),
                *_with_residual(torch, tensor, residual, weight),
            )


def _with_residual(torch: Any, tensor: Any, residual: Any, weight: Any) -> tuple[Any, Any]:
    """Return norm and sum, stacked: the reference, and in 64 bits."""
    total = tensor.double() + residual.double()
    exact = norm(torch, total, torch.float64) * weight.double()
    normed = norm(torch, tensor + residual, torch.float32).to(tensor.dtype) * weight
    # The kernel that truncates also truncates the sum, after it has taken its mean square.
    scale = torch.rsqrt(total.square().mean(-1, keepdim=True) + _EPSILON).float()
    truncated = _numbers.truncate(torch, total).float()
    reference = _numbers.accepted_roundings(
        torch,
        torch.stack((normed, tensor + residual)),
        torch.stack((truncated * scale * weight.float(), truncated)),
    )
    return reference, torch.stack((exact, total))


def _stack(torch: Any, added: AddedNorm, *inputs: Any) -> Any:
    return torch.stack(added(*inputs))


def norm(torch: Any, tensor: Any, precision: Any) -> Any:
    """Return the norm without weight, in a precision."""
    tensor = tensor.to(precision)
    return tensor * torch.rsqrt(tensor.square().mean(-1, keepdim=True) + _EPSILON)


CHECK = Check(
    title="vLLM's RMS norm",
    proves="vLLM's rms_norm and fused_add_rms_norm compute on every device what their names say",
    step=50,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
    every_gpu=True,
)
