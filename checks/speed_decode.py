"""Measures how fast attention reads the KV cache while vLLM generates: one token per sequence."""

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
# Argued, not measured here: from 4096 tokens on, reading the cache is nearly all of the work, and
# 50 to 90 % of the peak is usual. A kernel that divides the work badly, or that runs as JIT code
# of another architecture, stays far below.
_LEAST = 0.4
_WHAT = "decoding reads the KV cache at"


@dataclass(frozen=True)
class Shape:
    """Sizes of the attention of a model with 8 billion parameters, in pages of 16 tokens."""

    batch: int = 16
    page: int = 16
    heads: int = 32
    shared: int = 8
    width: int = 128


# Query, keys and values by page, the table of pages, tokens of each sequence -> the answer.
Decode = Callable[[Any, Any, Any, Any, Any], Any]


def body(context: Context) -> Verdict:
    flash: Any = importlib.import_module("vllm.vllm_flash_attn.flash_attn_interface")

    verdict = _devices.try_on_each(
        context,
        lambda torch, device: measure(
            torch, device, vllm_decode(torch, device, flash), _LENGTHS, Shape(), torch.bfloat16
        ),
        "",
        at_once=False,
        least=_LEAST_CAPABILITY,
    )
    return _rates.compare_gpus(verdict, _WHAT)


def vllm_decode(torch: Any, device: str, flash: Any) -> Decode:
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
            causal=True,  # hides nothing from the last token
            block_table=table,
            fa_version=version,
        )

    return decode


def measure(
    torch: Any, device: str, decode: Decode, lengths: tuple[int, ...], shape: Shape, dtype: Any
) -> _devices.DeviceResult:
    # There vLLM itself takes another kernel, which was compiled for the GPU.
    by_driver = _vllm_operators.is_compiled_by_driver(torch, device)
    peak = None if by_driver else _rates.peak_bandwidth(torch, device)
    rows: dict[str, dict[str, Any]] = {}
    figures = []
    for length in lengths:
        torch.manual_seed(0)
        pages = shape.batch * length // shape.page
        cache = (pages, shape.page, shape.shared, shape.width)
        keys, values = (torch.randn(cache, device=device, dtype=dtype) for _ in range(2))
        query = torch.randn(shape.batch, shape.heads, shape.width, device=device, dtype=dtype)
        # Pages lie in no order, as they do once a server has run for a while.
        table = torch.randperm(pages, device=device).to(torch.int32).view(shape.batch, -1)
        used = torch.full((shape.batch,), length, dtype=torch.int32, device=device)
        call = partial(decode, query, keys, values, table, used)
        if text := compare(torch, call(), (query, keys, values, table)):
            return f"{length} tokens: {text}", {}
        timing = _timing.measure(torch, device, call)
        size = 2 * keys.numel() * keys.element_size()
        problem, evidence = _rates.compare_with_peak(
            size / timing.median_us / 1000, peak, _LEAST, _WHAT
        )
        rows[str(length)] = {**evidence, "bytes_read": size, **timing.evidence()}
        figures.append(timing.rate("decode", size, "GB/s", {"tokens": str(length)}))
        if problem:
            return f"{length} tokens: {problem}", {"tokens": rows, "figures": figures}
    slowest = min(rows.values(), key=lambda row: float(row["gb_per_s"]))
    rate_of_all: dict[str, Any] = {
        key: slowest[key] for key in ("gb_per_s", "of_peak") if key in slowest
    }
    return "", {**rate_of_all, "tokens": rows, "of": f"{shape}, {dtype}", "figures": figures}


def compare(torch: Any, answer: Any, inputs: tuple[Any, Any, Any, Any]) -> str:
    """Return what is wrong in the first and last sequence: a kernel that reads less is faster."""
    query, keys, values, table = inputs
    for number in (0, len(query) - 1):
        cache = [pages[table[number].long()].flatten(0, 1)[None] for pages in (keys, values)]
        tensors = [query[number][None, None], *cache]
        reference = _numbers.fused_attention(torch, *tensors, causal=False)[0]
        exact = _numbers.attention(torch, *(tensor.double() for tensor in tensors), causal=False)[0]
        problem, _ = _numbers.compare(torch, answer[number][None], reference, exact)
        if problem:
            return f"sequence {number}: {problem}"
    return ""


CHECK = Check(
    title="Speed of decoding",
    proves="attention over a paged KV cache is right, and reads memory at a good part of the peak",
    step=80,
    weight="should",
    profile="full",
    deadline_s=600,  # the driver may have to compile the kernel
    needs=Needs(packages=("torch", "vllm"), profile="cuda", gpus=1, capability=_LEAST_CAPABILITY),
    body=body,
    every_gpu=True,
)
