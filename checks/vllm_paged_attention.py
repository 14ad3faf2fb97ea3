"""Checks that vLLM writes keys and values into the pages of its cache and attends to them."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import _devices, _numbers, _vllm_operators
from ._contract import Check, Context, Needs, Verdict

# New tokens of every sequence, and all of its tokens: prompts, a part of one, and single tokens.
_NEW, _ALL = (37, 1, 5, 1), (37, 129, 301, 16)
_LEAST = (8, 0)  # vLLM's FlashAttention has no code for older GPUs
_WIDTHS, _HEADS, _SHARED = (64, 128), 6, 2
_CPU_PAGE, _GPU_PAGE = 32, 16


@dataclass(frozen=True)
class Batch:
    """Several sequences one behind the other, and the slots of their tokens in the pages."""

    query: Any
    key: Any
    value: Any
    slots: Any
    table: Any
    starts: Any
    lengths: Any
    page: int


# Computes the attention of a batch through an empty cache.
Paged = Callable[[Batch], Any]


def body(context: Context) -> Verdict:
    return _devices.try_on_each(context, _try, "vLLM's paged attention is right", least=_LEAST)


def _try(torch: Any, device: str) -> _devices.DeviceResult:
    if device == "cpu":
        return judge(torch, device, {"CPU attention": cpu_attention}, _CPU_PAGE)
    try:
        flash: Any = importlib.import_module("vllm.vllm_flash_attn")
        version = _vllm_operators.flash_version(torch, device, flash)
    except (ImportError, AttributeError) as error:
        return (
            f"vLLM's FlashAttention is not at its usual place: {type(error).__name__}: {error}",
            {},
        )
    functions = {f"FlashAttention {version}": partial(_flash_attention, flash, version)}
    return judge(torch, device, functions, _GPU_PAGE)


@_numbers.judged
def judge(
    torch: Any, device: str, functions: Mapping[str, Paged], page: int
) -> Iterator[_numbers.Case]:
    for dtype, width in _variants(torch, device):
        torch.manual_seed(0)
        inputs = [
            torch.randn(length, heads, width, device=device).to(dtype)
            for length, heads in ((sum(_NEW), _HEADS), (sum(_ALL), _SHARED), (sum(_ALL), _SHARED))
        ]
        batch = _make_batch(torch, device, inputs, page)
        rounded, in_32_bits, exact = (
            _one_by_one(torch, inputs, of) for of in (dtype, torch.float32, torch.float64)
        )
        reference = _numbers.accepted_roundings(torch, rounded, in_32_bits)
        for name, function in functions.items():
            yield (
                f"{name}, {_numbers.dtype_name(dtype)}, head dimension {width}",
                partial(function, batch),
                reference,
                exact,
            )


def _variants(torch: Any, device: str) -> list[tuple[Any, int]]:
    """Return precisions and head dimensions, each of which is a kernel of its own."""
    variants = list(itertools.product(_devices.half_precisions(torch, device), _WIDTHS))
    # If the driver has to compile each kernel first, the one that is used most is enough.
    return variants[-1:] if _vllm_operators.is_compiled_by_driver(torch, device) else variants


def _make_batch(torch: Any, device: str, inputs: list[Any], page: int) -> Batch:
    # The pages lie in no order, and the first one belongs to no sequence.
    most = -(-max(_ALL) // page)
    order = (torch.randperm(most * len(_ALL)) + 1).to(device, torch.int32).view(len(_ALL), most)
    slots = [
        order[number, place // page].long() * page + place % page
        for number, length in enumerate(_ALL)
        for place in [torch.arange(length, device=device)]
    ]
    starts = torch.tensor([0, *itertools.accumulate(_NEW)], dtype=torch.int32, device=device)
    lengths = torch.tensor(_ALL, dtype=torch.int32, device=device)
    query, key, value = inputs
    return Batch(query, key, value, torch.cat(slots), order, starts, lengths, page)


def _one_by_one(torch: Any, inputs: list[Any], precision: Any) -> Any:
    exact = precision == torch.float64
    attention = _numbers.attention if exact else _numbers.fused_attention
    query, key, value = (tensor.to(precision) for tensor in inputs)
    return torch.cat(
        [
            attention(torch, *(tensor[None] for tensor in part), causal=True)[0]
            for part in zip(query.split(_NEW), key.split(_ALL), value.split(_ALL), strict=True)
        ]
    )


def _flash_attention(flash: Any, version: int, batch: Batch) -> Any:
    shape = (int(batch.table.max()) + 1, batch.page, *batch.key.shape[1:])
    keys, values = (batch.key.new_zeros(shape) for _ in range(2))
    scales = [batch.starts.new_ones(1).float() for _ in range(2)]
    _vllm_operators.call(
        "reshape_and_cache_flash",
        batch.key,
        batch.value,
        keys,
        values,
        batch.slots,
        "auto",
        *scales,
    )
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


def cpu_attention(batch: Batch) -> Any:
    backend: Any = importlib.import_module("vllm.v1.attention.backends.cpu_attn")
    width, (_, heads, _) = batch.query.shape[-1], batch.key.shape
    isa = backend._get_attn_isa(batch.query.dtype, batch.page, width)  # noqa: SLF001 - vLLM has no public name for it
    shape = (int(batch.table.max()) + 1, heads, 2 * batch.page, width)
    keys, values = batch.key.new_zeros(shape).chunk(2, dim=2)  # as the backend divides its cache
    _vllm_operators.call(
        "cpu_attn_reshape_and_cache", batch.key, batch.value, keys, values, batch.slots, isa
    )
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
    output = batch.query.new_full(batch.query.shape, float("nan"))
    _vllm_operators.call(
        "cpu_attention_with_kv_cache",
        query=batch.query,
        key_cache=keys,
        value_cache=values,
        output=output,
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
    return output


CHECK = Check(
    title="vLLM's paged attention",
    proves="vLLM writes keys and values into its cache and attends to them right, "
    "for prompts and for single tokens",
    step=50,
    weight="should",  # these functions are internal to vLLM and change from release to release
    deadline_s=600,  # the driver may have to compile the kernel
    needs=Needs(packages=("torch", "vllm"), gpus=1, capability=_LEAST),
    body=body,
    every_gpu=True,
)
