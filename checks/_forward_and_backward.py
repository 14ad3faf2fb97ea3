"""Attention forward and its gradients, as every package of flash-attn has them, against 64 bits."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import _devices, _numbers

# Queries, keys, heads of the queries, heads of the keys: odd lengths, and heads that are shared.
_SHAPES = ((113, 203, 4, 4), (129, 129, 6, 2))
# As the package's own tests allow: a gradient goes through more roundings than torch's does.
_OF_GRADIENTS = 3.0


@dataclass(frozen=True)
class Sort:
    """Which are tried."""

    precisions: tuple[str, ...] = ("float16", "bfloat16")
    widths: tuple[int, ...] = (64, 128)


ALL = Sort()
Cases = dict[str, tuple[Iterator[_numbers.Case], float]]


def cases(torch: Any, function: Callable[..., Any], device: str, of: Sort = ALL) -> Cases:
    """Both with how many times the error of the book they may make."""
    return {
        "forward": (_forward(torch, function, device, of), 2.0),
        "backward": (_backward(torch, function, device, of), _OF_GRADIENTS),
    }


def judged(torch: Any, tried: Cases) -> _devices.Found:
    """The first thing that is wrong, and what was found until then."""
    found = {}
    for name, (each, times) in tried.items():
        problem, found[name] = _numbers.judged(torch, each, times)
        if problem:
            return problem, found
    return "", found


def _given(torch: Any, device: str, of: Sort) -> Iterator[tuple[str, list[Any], Any, bool]]:
    """Name, inputs, what comes from above for the gradients, and whether it is causal."""
    precisions = [getattr(torch, name) for name in of.precisions]
    for dtype, width, causal, lengths in itertools.product(precisions, of.widths, (False, True), _SHAPES):
        torch.manual_seed(0)
        queries, keys, heads, shared = lengths
        shapes = ((queries, heads), (keys, shared), (keys, shared), (queries, heads))
        *given, upstream = (torch.randn(2, rows, each, width, device=device, dtype=dtype) for rows, each in shapes)
        name = f"{_numbers.plain(dtype)}, head dimension {width}, {'causal' if causal else 'full'}, {queries} x {keys}"
        yield name, given, upstream, causal


def _forward(torch: Any, function: Callable[..., Any], device: str, of: Sort) -> Iterator[_numbers.Case]:
    for name, given, _, causal in _given(torch, device, of):
        exact = _numbers.attention(torch, *(each.double() for each in given), causal=causal)
        same = _numbers.fused(torch, *given, causal=causal)
        # Rows and width last, as tiles are made of them: heads between would thin a wrong one out.
        call = partial(_turned, function, *given, causal=causal)
        yield f"{name}, output", call, same.transpose(1, 2), exact.transpose(1, 2)


def _turned(function: Callable[..., Any], *given: Any, causal: bool) -> Any:
    return function(*given, causal=causal).transpose(1, 2)


def _backward(torch: Any, function: Callable[..., Any], device: str, of: Sort) -> Iterator[_numbers.Case]:
    for name, given, upstream, causal in _given(torch, device, of):
        book = partial(_numbers.attention, torch, causal=causal)
        same, exact = (
            _gradients(torch, book, [each.to(precision) for each in given], upstream.to(precision))
            for precision in (upstream.dtype, torch.float64)
        )
        tried = functools.cache(partial(_gradients, torch, partial(function, causal=causal), given, upstream))
        for number, letter in enumerate("qkv"):
            yield f"{name}, gradient of {letter}", partial(_pick, tried, number), same[number], exact[number]


def _pick(tried: Callable[[], list[Any]], number: int) -> Any:
    return tried()[number]


def _gradients(torch: Any, function: Callable[..., Any], given: list[Any], upstream: Any) -> list[Any]:
    inputs = [each.detach().clone().requires_grad_() for each in given]
    return list(torch.autograd.grad(function(*inputs), inputs, upstream))
