"""Whether vLLM turns queries and keys by their positions as it should, in both layouts, against 64 bits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _devices, _numbers, _vllm_operators
from ._contract import Check, Context, Needs, Verdict

_TOKENS, _LONGEST, _WIDTH = 83, 4096, 128
_TURNED = (128, 64)  # of the width: all of it, or the first half
_HEADS = (6, 2)
_BASE = 10000.0


def body(context: Context) -> Verdict:
    return _devices.on_each(context, partial(judge, rotate=rotate), "vLLM's rotary embedding is right")


def rotate(positions: Any, query: Any, key: Any, table: Any, *, halves: bool) -> tuple[Any, Any]:
    """In place. `halves`: as GPT-NeoX pairs the numbers, a half with the other; else as GPT-J, neighbours."""
    query, key = query.clone(), key.clone()
    _vllm_operators.call("rotary_embedding", positions, query, key, _WIDTH, table, halves)
    return query, key


def judge(torch: Any, device: str, rotate: Callable[..., tuple[Any, Any]]) -> _devices.Found:
    return _numbers.judged(torch, _cases(torch, device, rotate))


def _cases(torch: Any, device: str, rotate: Callable[..., tuple[Any, Any]]) -> Iterator[_numbers.Case]:
    for dtype, halves, turned in itertools.product(_devices.halves(torch, device), (True, False), _TURNED):
        torch.manual_seed(0)
        positions = torch.randint(0, _LONGEST, (_TOKENS,), device=device)
        table = _table(torch, device, turned).to(dtype)
        query, key = (torch.randn(_TOKENS, heads * _WIDTH, device=device).to(dtype) for heads in _HEADS)
        # The book rounds after every operation, as a kernel may.
        rounded, in_32_bits, exact = (
            torch.cat([_book(torch, each.to(of), table[positions].to(of), halves=halves) for each in (query, key)], 1)
            for of in (dtype, torch.float32, torch.float64)
        )
        same = _numbers.books(torch, rounded, in_32_bits)
        layout = "a half with the other" if halves else "neighbours"
        name = f"{_numbers.plain(dtype)}, {turned} of {_WIDTH}, {layout}"
        yield name, partial(_both, torch, rotate, positions, query, key, table, halves=halves), same, exact


def _table(torch: Any, device: str, turned: int) -> Any:
    """The cosines of every position, then its sines."""
    speeds = _BASE ** -(torch.arange(0, turned, 2, device=device) / turned)
    angles = torch.arange(_LONGEST, device=device)[:, None] * speeds
    return torch.cat((angles.cos(), angles.sin()), 1)


def _book(torch: Any, given: Any, table: Any, *, halves: bool) -> Any:
    found = given.clone().view(given.shape[0], -1, _WIDTH)
    part = found[..., : table.shape[1]].clone()
    one, other = part.chunk(2, -1) if halves else (part[..., ::2], part[..., 1::2])
    cosine, sine = table[:, None].chunk(2, -1)
    turned = one * cosine - other * sine, other * cosine + one * sine
    found[..., : table.shape[1]] = torch.cat(turned, -1) if halves else torch.stack(turned, -1).flatten(-2)
    return found.view(given.shape)


def _both(torch: Any, rotate: Callable[..., tuple[Any, Any]], *given: Any, halves: bool) -> Any:
    return torch.cat(rotate(*given, halves=halves), 1)


CHECK = Check(
    name="vllm_rotary",
    title="vLLM's rotary embedding",
    proves="vLLM's rotary_embedding turns queries and keys by their positions, in both layouts, on every device",
    step=50,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=300,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
    every_gpu=True,
)
