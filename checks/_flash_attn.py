"""Cases for flash-attn 2 beyond plain attention: varied lengths, and a cache of keys."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _numbers

# Heads share keys and values, and the lengths fit no tile: kernels go wrong at the edges.
_WIDTH, _HEADS, _SHARED = 128, 6, 2
_QUERIES, _KEYS = (113, 1, 64), (203, 129, 64)  # of every sequence
# Tokens already in the cache, tokens that a call adds, and the cache's size.
_BEFORE, _ADDED, _ROOM = (3, 255, 300), (1, 5), 512
_PAGE = 256  # flash-attn 2 divides its cache into pages of this size

# The folder flash_attn alone may belong to FlashAttention 4, which lies in flash_attn.cute.
MODULE = "flash_attn_2_cuda"


def varied_length_cases(
    torch: Any, function: Callable[..., Any], device: str
) -> Iterator[_numbers.Case]:
    for dtype, causal in itertools.product((torch.float16, torch.bfloat16), (False, True)):
        torch.manual_seed(0)
        rows = ((sum(_QUERIES), _HEADS), (sum(_KEYS), _SHARED), (sum(_KEYS), _SHARED))
        query, key, value = (torch.randn(*row, _WIDTH, device=device).to(dtype) for row in rows)
        starts = [
            torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=device)
            for lengths in (_QUERIES, _KEYS)
        ]
        parts = list(zip(query.split(_QUERIES), key.split(_KEYS), value.split(_KEYS), strict=True))
        longest = max(_QUERIES), max(_KEYS)
        yield (
            f"varied lengths, {_numbers.dtype_name(dtype)}, {'causal' if causal else 'full'}",
            partial(function, query, key, value, *starts, *longest, causal=causal),
            *_references(torch, parts, causal=causal),
        )


def cached_cases(torch: Any, function: Callable[..., Any], device: str) -> Iterator[_numbers.Case]:
    for dtype, added, paged in itertools.product(
        (torch.float16, torch.bfloat16), _ADDED, (False, True)
    ):
        torch.manual_seed(0)
        count = len(_BEFORE)
        query = torch.randn(count, added, _HEADS, _WIDTH, device=device).to(dtype)
        new, caches = (
            [torch.randn(count, length, _SHARED, _WIDTH, device=device).to(dtype) for _ in range(2)]
            for length in (added, _ROOM)
        )
        parts = [
            (query[number], *_join(torch, caches, new, number, length))
            for number, length in enumerate(_BEFORE)
        ]
        pages = " in pages" if paged else ""
        yield (
            f"KV cache{pages}, {_numbers.dtype_name(dtype)}, {added} new",
            partial(_append, torch, function, query, caches, new, paged=paged),
            *(row.view(query.shape) for row in _references(torch, parts, causal=True)),
        )


def _join(torch: Any, caches: Any, new: Any, number: int, length: int) -> Iterator[Any]:
    """Return the keys and the values of one sequence: those of the cache, then the new ones."""
    for cache, rows in zip(caches, new, strict=True):
        yield torch.cat((cache[number, :length], rows[number]))


def _append(
    torch: Any, function: Callable[..., Any], query: Any, caches: Any, new: Any, *, paged: bool
) -> Any:
    """Return the answer of a call that appends to a cache. Raise if the cache lacks what is new."""
    lengths = torch.tensor(_BEFORE, dtype=torch.int32, device=query.device)
    settings: dict[str, Any] = {"cache_seqlens": lengths, "causal": True}
    caches = [cache.clone() for cache in caches]
    if paged:
        # The pages lie in reverse order, so that a kernel that ignores the table goes wrong.
        pages = len(_BEFORE) * _ROOM // _PAGE
        caches = [
            cache.view(pages, _PAGE, _SHARED, _WIDTH).flip(0).contiguous() for cache in caches
        ]
        settings["block_table"] = torch.arange(
            pages - 1, -1, -1, dtype=torch.int32, device=query.device
        ).view(len(_BEFORE), -1)
    answer = function(query, *caches, *new, **settings)
    for cache, rows in zip(caches, new, strict=True):
        whole = cache.flip(0).view(len(_BEFORE), _ROOM, _SHARED, _WIDTH) if paged else cache
        for number, length in enumerate(_BEFORE):
            if not torch.equal(whole[number, length : length + rows.shape[1]], rows[number]):
                raise ArithmeticError("the new keys and values are not in the cache")
    return answer


def _references(torch: Any, parts: list[Any], *, causal: bool) -> tuple[Any, Any]:
    """Return attention for each sequence by itself, in its own precision and in 64 bits."""
    batches = [[tensor[None] for tensor in part] for part in parts]
    own = [_numbers.fused_attention(torch, *batch, causal=causal)[0] for batch in batches]
    exact = [
        _numbers.attention(torch, *(tensor.double() for tensor in batch), causal=causal)[0]
        for batch in batches
    ]
    return torch.cat(own), torch.cat(exact)
