"""Cases for attention and its gradients, which every package of flash-attn has to compute."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import _devices, _numbers

# Queries, keys, heads of queries, heads of keys: lengths that fit no tile, and shared heads.
_SHAPES = ((113, 203, 4, 4), (129, 129, 6, 2))
# As the package's own tests allow: a gradient is rounded more often than torch's is.
_GRADIENT_TOLERANCE = 3.0


@dataclass(frozen=True)
class Variants:
    """Precisions and head dimensions to try; each is a kernel of its own."""

    precisions: tuple[str, ...] = ("float16", "bfloat16")
    widths: tuple[int, ...] = (64, 128)


ALL = Variants()
# By name: the cases, and the allowed multiple of the reference's own error.
Cases = dict[str, tuple[Iterator[_numbers.Case], float]]


def cases(torch: Any, function: Callable[..., Any], device: str, variants: Variants = ALL) -> Cases:
    return {
        "forward": (_forward(torch, function, device, variants), 2.0),
        "backward": (_backward(torch, function, device, variants), _GRADIENT_TOLERANCE),
    }


def judge(torch: Any, groups: Cases) -> _devices.DeviceResult:
    evidence = {}
    for name, (group, tolerance) in groups.items():
        problem, evidence[name] = _numbers.judge_cases(torch, group, tolerance)
        if problem:
            return problem, evidence
    return "", evidence


def _inputs(
    torch: Any, device: str, variants: Variants
) -> Iterator[tuple[str, list[Any], Any, bool]]:
    """Yield name, query, key and value, the incoming gradient, and whether the mask is causal."""
    precisions = [getattr(torch, name) for name in variants.precisions]
    for dtype, width, causal, shape in itertools.product(
        precisions, variants.widths, (False, True), _SHAPES
    ):
        torch.manual_seed(0)
        queries, keys, heads, shared = shape
        *inputs, upstream = (
            torch.randn(2, rows, count, width, device=device, dtype=dtype)
            for rows, count in ((queries, heads), (keys, shared), (keys, shared), (queries, heads))
        )
        mask = "causal" if causal else "full"
        size = f"head dimension {width}, {mask}, {queries} x {keys}"
        yield f"{_numbers.dtype_name(dtype)}, {size}", inputs, upstream, causal


def _forward(
    torch: Any, function: Callable[..., Any], device: str, variants: Variants
) -> Iterator[_numbers.Case]:
    for name, inputs, _, causal in _inputs(torch, device, variants):
        exact = _numbers.attention(torch, *(tensor.double() for tensor in inputs), causal=causal)
        # Rows and width come last, since tiles are cut from these: with heads between them, a
        # wrong tile of one head would be thinned out.
        yield (
            f"{name}, output",
            partial(_rows_last, function, *inputs, causal=causal),
            _numbers.fused_attention(torch, *inputs, causal=causal).transpose(1, 2),
            exact.transpose(1, 2),
        )


def _rows_last(function: Callable[..., Any], *inputs: Any, causal: bool) -> Any:
    return function(*inputs, causal=causal).transpose(1, 2)


def _backward(
    torch: Any, function: Callable[..., Any], device: str, variants: Variants
) -> Iterator[_numbers.Case]:
    for name, inputs, upstream, causal in _inputs(torch, device, variants):
        plain = partial(_numbers.attention, torch, causal=causal)
        reference, exact = (
            _gradients(torch, plain, [tensor.to(dtype) for tensor in inputs], upstream.to(dtype))
            for dtype in (upstream.dtype, torch.float64)
        )
        tried = functools.cache(
            partial(_gradients, torch, partial(function, causal=causal), inputs, upstream)
        )
        for at, letter in enumerate("qkv"):
            yield (
                f"{name}, gradient of {letter}",
                partial(_item_rows_last, tried, at),
                reference[at].transpose(1, 2),
                exact[at].transpose(1, 2),
            )


def _item_rows_last(gradients: Callable[[], list[Any]], at: int) -> Any:
    return gradients()[at].transpose(1, 2)


def _gradients(
    torch: Any, function: Callable[..., Any], inputs: list[Any], upstream: Any
) -> list[Any]:
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    return list(torch.autograd.grad(function(*leaves), leaves, upstream))
