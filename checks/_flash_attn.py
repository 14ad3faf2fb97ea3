"""Whether flash-attn is here, and what it does beside plain attention: varied lengths, and a cache of keys."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from . import _numbers

_WIDTH, _HEADS, _SHARED = 128, 6, 2
# Queries and keys of every sequence.
_QUERIES, _KEYS = (113, 1, 64), (203, 129, 64)
# Tokens that are in the cache, those that a call adds, and what there is room for.
_BEFORE, _ADDED, _ROOM = (3, 255, 300), (1, 5), 512
_PAGE = 256  # what flash-attn 2 divides its cache into

MODULE = "flash_attn_2_cuda"  # the folder flash_attn alone may be of FlashAttention 4, which lies in flash_attn.cute


def varied(torch: Any, function: Callable[..., Any], device: str) -> Iterator[_numbers.Case]:
    for dtype, causal in itertools.product((torch.float16, torch.bfloat16), (False, True)):
        torch.manual_seed(0)
        rows = ((sum(_QUERIES), _HEADS), (sum(_KEYS), _SHARED), (sum(_KEYS), _SHARED))
        query, key, value = (torch.randn(*row, _WIDTH, device=device).to(dtype) for row in rows)
        starts = [
            torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=device)
            for lengths in (_QUERIES, _KEYS)
        ]
        parts = list(zip(query.split(_QUERIES), key.split(_KEYS), value.split(_KEYS), strict=True))
        name = f"varied lengths, {_numbers.plain(dtype)}, {'causal' if causal else 'full'}"
        call = partial(function, query, key, value, *starts, max(_QUERIES), max(_KEYS), causal=causal)
        yield name, call, *_by_the_book(torch, parts, causal=causal)


def cached(torch: Any, function: Callable[..., Any], device: str) -> Iterator[_numbers.Case]:
    for dtype, added, paged in itertools.product((torch.float16, torch.bfloat16), _ADDED, (False, True)):
        torch.manual_seed(0)
        several = len(_BEFORE)
        query = torch.randn(several, added, _HEADS, _WIDTH, device=device).to(dtype)
        new = [torch.randn(several, added, _SHARED, _WIDTH, device=device).to(dtype) for _ in range(2)]
        caches = [torch.randn(several, _ROOM, _SHARED, _WIDTH, device=device).to(dtype) for _ in range(2)]
        parts = [
            (
                query[number],
                *(torch.cat((old[number, :length], more[number])) for old, more in zip(caches, new, strict=True)),
            )
            for number, length in enumerate(_BEFORE)
        ]
        name = f"KV cache{' in pages' if paged else ''}, {_numbers.plain(dtype)}, {added} new"
        call = partial(_appended, torch, function, query, caches, new, paged=paged)
        same, exact = _by_the_book(torch, parts, causal=True)
        yield name, call, same.view(query.shape), exact.view(query.shape)


def _appended(torch: Any, function: Callable[..., Any], query: Any, caches: Any, new: Any, *, paged: bool) -> Any:
    lengths = torch.tensor(_BEFORE, dtype=torch.int32, device=query.device)
    settings: dict[str, Any] = {"cache_seqlens": lengths, "causal": True}
    kept = [each.clone() for each in caches]
    if paged:  # the pages lie backwards
        pages = len(_BEFORE) * _ROOM // _PAGE
        kept = [each.view(pages, _PAGE, _SHARED, _WIDTH).flip(0).contiguous() for each in kept]
        backwards = torch.arange(pages - 1, -1, -1, dtype=torch.int32, device=query.device)
        settings["block_table"] = backwards.view(len(_BEFORE), -1)
    found = function(query, *kept, *new, **settings)
    for each, more in zip(kept, new, strict=True):
        whole = each.flip(0).view(len(_BEFORE), _ROOM, _SHARED, _WIDTH) if paged else each
        for number, length in enumerate(_BEFORE):
            if not torch.equal(whole[number, length : length + more.shape[1]], more[number]):
                raise ArithmeticError("the new keys and values are not in the cache")
    return found


def _by_the_book(torch: Any, parts: list[Any], *, causal: bool) -> tuple[Any, Any]:
    same = [_numbers.fused(torch, *(each[None] for each in part), causal=causal)[0] for part in parts]
    exact = [_numbers.attention(torch, *(each[None].double() for each in part), causal=causal)[0] for part in parts]
    return torch.cat(same), torch.cat(exact)
