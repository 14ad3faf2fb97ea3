"""Whether vLLM writes keys and values into the pages of its cache and attends to them as it should, against 64 bits."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import _devices, _numbers, _vllm_operators
from ._contract import Check, Context, Needs, Verdict

# New tokens of every sequence, and all of them with those before: prompts, a part of one, and single tokens.
_NEW, _ALL = (37, 1, 5, 1), (37, 129, 301, 16)
_LEAST = (8, 0)  # vLLM's FlashAttention has code for nothing older
_WIDTHS, _HEADS, _SHARED = (64, 128), 6, 2
_PAGES = 32
_CPU_PAGE, _GPU_PAGE = 32, 16


@dataclass(frozen=True)
class Batch:
    """Several sequences behind each other, and where in the pages each of their tokens lies."""

    query: Any
    key: Any
    value: Any
    slots: Any
    table: Any
    starts: Any
    lengths: Any
    page: int


# The attention of a batch, by way of a cache that was empty.
Paged = Callable[[Batch], Any]


def body(context: Context) -> Verdict:
    return _devices.on_each(context, _on_device, "vLLM's paged attention is right", least=_LEAST)


def _on_device(torch: Any, device: str) -> _devices.Found:
    if device == "cpu":
        return judge(torch, device, {"CPU attention": _by_cpu}, _CPU_PAGE)
    try:
        flash: Any = importlib.import_module("vllm.vllm_flash_attn")
        version = _vllm_operators.flash_version(torch, device, flash)
    except (ImportError, AttributeError) as problem:
        return f"vLLM's FlashAttention is not where it was: {type(problem).__name__}: {problem}", {}
    return judge(torch, device, {f"FlashAttention {version}": partial(_by_flash, flash, version)}, _GPU_PAGE)


def judge(torch: Any, device: str, ways: Mapping[str, Paged], page: int) -> _devices.Found:
    return _numbers.judged(torch, _cases(torch, device, ways, page))


def _cases(torch: Any, device: str, ways: Mapping[str, Paged], page: int) -> Iterator[_numbers.Case]:
    for dtype, width in _sorts(torch, device):
        torch.manual_seed(0)
        rows = ((sum(_NEW), _HEADS), (sum(_ALL), _SHARED), (sum(_ALL), _SHARED))
        given = [torch.randn(length, heads, width, device=device).to(dtype) for length, heads in rows]
        batch = _paged(torch, device, given, page)
        rounded, in_32_bits, exact = (_one_by_one(torch, given, of) for of in (dtype, torch.float32, torch.float64))
        same = _numbers.books(torch, rounded, in_32_bits)
        for name, way in ways.items():
            yield f"{name}, {_numbers.plain(dtype)}, head dimension {width}", partial(way, batch), same, exact


def _sorts(torch: Any, device: str) -> list[tuple[Any, int]]:
    """Each is code of its own; where the driver has to compile it first, the one most used is enough."""
    sorts = list(itertools.product(_devices.halves(torch, device), _WIDTHS))
    return sorts[-1:] if _vllm_operators.compiled_by_driver(torch, device) else sorts


def _paged(torch: Any, device: str, given: list[Any], page: int) -> Batch:
    """The pages in no order; the first one belongs to nobody."""
    most = -(-max(_ALL) // page)
    order = (torch.randperm(most * len(_ALL)) + 1).to(device, torch.int32).view(len(_ALL), most)
    slots = [
        order[number, place // page].long() * page + place % page
        for number, length in enumerate(_ALL)
        for place in [torch.arange(length, device=device)]
    ]
    starts = torch.tensor([0, *itertools.accumulate(_NEW)], dtype=torch.int32, device=device)
    lengths = torch.tensor(_ALL, dtype=torch.int32, device=device)
    query, key, value = given
    return Batch(query, key, value, torch.cat(slots), order, starts, lengths, page)


def _one_by_one(torch: Any, given: list[Any], precision: Any) -> Any:
    attention = _numbers.attention if precision == torch.float64 else _numbers.fused
    query, key, value = (each.to(precision) for each in given)
    parts = zip(query.split(_NEW), key.split(_ALL), value.split(_ALL), strict=True)
    return torch.cat([attention(torch, *(each[None] for each in part), causal=True)[0] for part in parts])


def _by_flash(flash: Any, version: int, batch: Batch) -> Any:
    shape = (int(batch.table.max()) + 1, batch.page, *batch.key.shape[1:])
    keys, values = (batch.key.new_zeros(shape) for _ in range(2))
    scales = [batch.starts.new_ones(1).float() for _ in range(2)]
    written = (batch.key, batch.value, keys, values, batch.slots)
    _vllm_operators.call("reshape_and_cache_flash", *written, "auto", *scales)
    return flash.flash_attn_varlen_func(
        q=batch.query,
        k=keys,
        v=values,
        max_seqlen_q=max(_NEW),
        cu_seqlens_q=batch.starts,
        max_seqlen_k=max(_ALL),
        seqused_k=batch.lengths,
        causal=True,
        block_table=batch.table,
        fa_version=version,
    )


def _by_cpu(batch: Batch) -> Any:
    backend: Any = importlib.import_module("vllm.v1.attention.backends.cpu_attn")
    width, (_, heads, _) = batch.query.shape[-1], batch.key.shape
    isa = backend._get_attn_isa(batch.query.dtype, batch.page, width)  # noqa: SLF001 - nobody else knows
    shape = (int(batch.table.max()) + 1, heads, 2 * batch.page, width)
    keys, values = batch.key.new_zeros(shape).chunk(2, dim=2)  # as the backend cuts its cache
    _vllm_operators.call("cpu_attn_reshape_and_cache", batch.key, batch.value, keys, values, batch.slots, isa)
    plan = _vllm_operators.call(
        "cpu_attn_get_scheduler_metadata",
        num_reqs=len(_ALL),
        num_heads=_HEADS,
        num_kv_heads=heads,
        head_dim=width,
        seq_lens=batch.lengths,
        dtype=batch.query.dtype,
        query_start_loc=batch.starts,
        causal=True,
        sliding_window_size=-1,
        isa=isa,
        enable_kv_split=True,
    )
    found = batch.query.new_full(batch.query.shape, float("nan"))
    _vllm_operators.call(
        "cpu_attention_with_kv_cache",
        query=batch.query,
        key_cache=keys,
        value_cache=values,
        output=found,
        query_start_loc=batch.starts,
        seq_lens=batch.lengths,
        scale=width**-0.5,
        causal=True,
        alibi_slopes=None,
        sliding_window=-1,
        block_table=batch.table,
        softcap=0.0,
        scheduler_metadata=plan,
        s_aux=None,
    )
    return found


CHECK = Check(
    name="vllm_paged_attention",
    title="vLLM's paged attention",
    proves="vLLM writes keys and values into its cache and attends to them right, prompts and single tokens alike",
    step=50,
    weight="should",  # these functions are vLLM's own affair, and have changed from release to release
    on="environment",
    profile="quick",
    deadline_s=600,  # the driver may have to compile it
    needs=Needs(packages=("torch", "vllm"), gpus=1, capability=_LEAST),
    body=body,
    every_gpu=True,
)
