"""Checks vLLM's rotary embedding of queries and keys, in both layouts, against 64 bits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _devices, _numbers, _vllm_operators
from ._contract import Check, Context, Needs, Verdict

_TOKENS, _LONGEST, _WIDTH = 83, 4096, 128
_TURNED = (128, 64)  # numbers of the width that turn: all, or the first half
_HEADS = (6, 2)
_BASE = 10000.0

# Turns query and key for positions with a table of cosines and sines, in one of two layouts.
Rotate = Callable[..., tuple[Any, Any]]


def body(context: Context) -> Verdict:
    return _devices.try_on_each(
        context, partial(judge, rotate=rotate), "vLLM's rotary embedding is right"
    )


def rotate(positions: Any, query: Any, key: Any, table: Any, *, halves: bool) -> tuple[Any, Any]:
    """Turn query and key. `halves` pairs two halves as GPT-NeoX does, else neighbours as GPT-J."""
    query, key = query.clone(), key.clone()
    _vllm_operators.call("rotary_embedding", positions, query, key, _WIDTH, table, halves)
    return query, key


@_numbers.judged
def judge(torch: Any, device: str, rotate: Rotate) -> Iterator[_numbers.Case]:
    for dtype, halves, turned in itertools.product(
        _devices.half_precisions(torch, device), (True, False), _TURNED
    ):
        torch.manual_seed(0)
        positions = torch.randint(0, _LONGEST, (_TOKENS,), device=device)
        table = _table(torch, device, turned).to(dtype)
        query, key = (
            torch.randn(_TOKENS, heads * _WIDTH, device=device).to(dtype) for heads in _HEADS
        )
        rows, tensors = table[positions], (query, key)
        # The reference rounds after every operation, as a kernel may.
        rounded, in_32_bits, exact = (
            _reference(torch, tensors, rows, precision, halves=halves)
            for precision in (dtype, torch.float32, torch.float64)
        )
        layout = "a half with the other" if halves else "neighbours"
        yield (
            f"{_numbers.dtype_name(dtype)}, {turned} of {_WIDTH}, {layout}",
            partial(_join, torch, rotate, positions, query, key, table, halves=halves),
            _numbers.accepted_roundings(torch, rounded, in_32_bits),
            exact,
        )


def _table(torch: Any, device: str, turned: int) -> Any:
    """Return the cosines of every position, and behind them its sines."""
    speeds = _BASE ** -(torch.arange(0, turned, 2, device=device) / turned)
    angles = torch.arange(_LONGEST, device=device)[:, None] * speeds
    return torch.cat((angles.cos(), angles.sin()), 1)


def _reference(
    torch: Any, tensors: tuple[Any, Any], rows: Any, precision: Any, *, halves: bool
) -> Any:
    turned = [
        _turn(torch, tensor.to(precision), rows.to(precision), halves=halves) for tensor in tensors
    ]
    return torch.cat(turned, 1)


def _turn(torch: Any, tensor: Any, rows: Any, *, halves: bool) -> Any:
    output = tensor.clone().view(tensor.shape[0], -1, _WIDTH)
    part = output[..., : rows.shape[1]].clone()
    left, right = part.chunk(2, -1) if halves else (part[..., ::2], part[..., 1::2])
    cosine, sine = rows[:, None].chunk(2, -1)
    turned = left * cosine - right * sine, right * cosine + left * sine
    output[..., : rows.shape[1]] = (
        torch.cat(turned, -1) if halves else torch.stack(turned, -1).flatten(-2)
    )
    return output.view(tensor.shape)


def _join(torch: Any, rotate: Rotate, *inputs: Any, halves: bool) -> Any:
    return torch.cat(rotate(*inputs, halves=halves), 1)


CHECK = Check(
    title="vLLM's rotary embedding",
    proves="vLLM's rotary_embedding turns queries and keys by their positions, in both layouts",
    step=50,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
    every_gpu=True,
)
