"""How fast attention reads the KV cache while vLLM generates: one new token in each of 16 sequences, pages of 16."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import _devices, _numbers, _rates, _timing, _vllm_operators
from ._contract import Check, Context, Needs, Verdict

_LEAST_CAPABILITY = (8, 0)
_LENGTHS = (4096, 16384)
# Argued, not measured here: from 4096 tokens on, reading the cache is nearly all of the work, and 50 to 90 % of the
# peak is usual. A kernel that splits the work badly or runs as JIT code of another architecture stays far below.
_LEAST = 0.4


@dataclass(frozen=True)
class Shape:
    """Of the attention of a model with 8 billion parameters."""

    batch: int = 16
    page: int = 16
    heads: int = 32
    shared: int = 8
    width: int = 128


# Query, keys and values by page, the table of pages, how many tokens each sequence has -> the answer.
Decode = Callable[[Any, Any, Any, Any, Any], Any]


def body(context: Context) -> Verdict:
    flash: Any = importlib.import_module("vllm.vllm_flash_attn.flash_attn_interface")

    def tried(torch: Any, device: str) -> _devices.Found:
        return decoded(torch, device, _vllms(torch, device, flash), _LENGTHS, Shape(), torch.bfloat16)

    found = _devices.on_each(context, tried, "", at_once=False, least=_LEAST_CAPABILITY)
    return _rates.told(found, "decoding reads the KV cache at")


def _vllms(torch: Any, device: str, flash: Any) -> Decode:
    """The causal mask hides nothing from the last token."""
    version = _vllm_operators.flash_version(torch, device, flash)
    starts = torch.arange(Shape().batch + 1, dtype=torch.int32, device=device)

    def decode(query: Any, keys: Any, values: Any, table: Any, used: Any) -> Any:
        return flash.flash_attn_varlen_func(
            q=query,
            k=keys,
            v=values,
            max_seqlen_q=1,
            cu_seqlens_q=starts,
            max_seqlen_k=table.shape[1] * keys.shape[1],
            seqused_k=used,
            softmax_scale=query.shape[-1] ** -0.5,
            causal=True,
            block_table=table,
            fa_version=version,
        )

    return decode


def decoded(
    torch: Any, device: str, decode: Decode, lengths: tuple[int, ...], shape: Shape, dtype: Any
) -> _devices.Found:
    best = _rates.peak(torch, device)
    told: dict[str, dict[str, Any]] = {}
    figures = []
    for length in lengths:
        torch.manual_seed(0)
        pages = shape.batch * length // shape.page
        cache = (pages, shape.page, shape.shared, shape.width)
        keys, values = (torch.randn(cache, device=device, dtype=dtype) for _ in range(2))
        query = torch.randn(shape.batch, shape.heads, shape.width, device=device, dtype=dtype)
        # Pages lie where there was room for them, as they do after a while.
        table = torch.randperm(pages, device=device).to(torch.int32).view(shape.batch, -1)
        used = torch.full((shape.batch,), length, dtype=torch.int32, device=device)
        once = partial(decode, query, keys, values, table, used)
        if text := wrong(torch, once(), (query, keys, values, table)):
            return f"{length} tokens: {text}", {}
        time = _timing.timed(torch, device, once)
        size = 2 * keys.numel() * keys.element_size()
        problem, found = _rates.held(size / time.median_us / 1000, best, _LEAST, "decoding reads the KV cache at")
        told[str(length)] = found | {"bytes_read": size, **time.evidence()}
        figures.append(time.rate("decode", size, "GB/s", {"tokens": str(length)}))
        if problem:
            return f"{length} tokens: {problem}", {"tokens": told, "figures": figures}
    slowest = min(told.values(), key=lambda each: float(each["gb_per_s"]))
    judged: dict[str, Any] = {key: slowest[key] for key in ("gb_per_s", "of_peak") if key in slowest}
    return "", {**judged, "tokens": told, "of": f"{shape}, {dtype}", "figures": figures}


def wrong(torch: Any, found: Any, given: tuple[Any, Any, Any, Any]) -> str:
    """What is wrong with the answer for the first and the last sequence: who reads less is faster."""
    query, keys, values, table = given
    for number in (0, len(query) - 1):
        lines = [each[table[number].long()].flatten(0, 1)[None] for each in (keys, values)]
        asked = [query[number][None, None], *lines]
        same = _numbers.fused(torch, *asked, causal=False)[0]
        exact = _numbers.attention(torch, *(each.double() for each in asked), causal=False)[0]
        problem, _ = _numbers.wrong(torch, found[number][None], same, exact)
        if problem:
            return f"sequence {number}: {problem}"
    return ""


CHECK = Check(
    name="speed_decode",
    title="Speed of decoding",
    proves="attention over a paged KV cache is right, and reads it at a good part of the speed of the memory",
    step=80,
    weight="should",
    on="environment",
    profile="full",
    deadline_s=600,  # the driver may have to compile it
    needs=Needs(packages=("torch", "vllm"), profile="cuda", gpus=1, capability=_LEAST_CAPABILITY),
    body=body,
    every_gpu=True,
)
