"""The KV cache: groups of layers, blocks, and what one request takes, as vLLM forms them."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from provision.fit._model import Cache, Model
from provision.fit.weights import BYTES, stages

_CACHE_BYTES = {"fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1, "fp8_inc": 1, "int8": 1, "nvfp4": 0.5625}
BLOCK = 16
_FLOAT32 = 4


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Layers that share one table of blocks; `layers` are their numbers in the model."""

    kind: Literal["full", "sliding", "chunked", "state"]
    block: int
    window: int
    layers: tuple[int, ...]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of the cache that differ between releases and flags."""

    hybrid: bool = True
    in_flight: int = 2048
    state_blocks: int = 1
    null_block: bool = False
    pad_factor: float = 1.0
    on_cpu: bool = False


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """The blocks of a rank: their groups, and the bytes of one block on each pipeline stage."""

    groups: tuple[Group, ...]
    block_bytes: tuple[int, ...]
    rules: Rules

    def blocks(self, free: float, stage: int = 0) -> int:
        """Return how many blocks this many bytes hold."""
        size = self.block_bytes[stage]
        return max(0, int(free // size)) if size else 0

    def per_request(self, length: int) -> int:
        """Return the blocks of one request of this length, over all groups."""
        return sum(_blocks(group, length, self.rules) for group in self.groups)

    def concurrency(self, blocks: float, length: int) -> float:
        """Return what vLLM prints as maximum concurrency."""
        return blocks / max(1, self.per_request(length))

    def longest(self, blocks: int, most: int) -> int:
        """Return the longest request that fits, up to `most` tokens; 0 if none does."""
        usable = blocks - (1 if self.rules.null_block else 0)
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            if self.per_request(middle) <= usable:
                low = middle
            else:
                high = middle - 1
        return low


def _blocks(group: Group, length: int, rules: Rules) -> int:
    if group.kind == "state":
        return rules.state_blocks
    if group.kind == "sliding":
        held = min(group.window - 1 + rules.in_flight, length)
        return math.ceil(held / group.block) + 1
    if group.kind == "chunked":
        return math.ceil(min(group.window + rules.in_flight, length) / group.block)
    return math.ceil(length / group.block)


def cache_bytes(dtype: str, cache_dtype: str) -> float:
    return _CACHE_BYTES.get(cache_dtype) or BYTES.get(cache_dtype) or BYTES.get(dtype, 2)


def token_bytes(cache: Cache, tensor: int, width: float) -> int:
    """Return the bytes of one token in one layer on one rank."""
    if cache.kind == "mla":  # not divided by tensor parallelism
        return int(cache.width * width)
    return int(max(1, cache.kv_heads // tensor) * cache.width * width)


def state_bytes(cache: Cache, tensor: int, width: int, *, on_cpu: bool = False) -> int:
    """Return the bytes of the states of one request in one layer on one rank."""
    if cache.delta and on_cpu:  # there the state of a delta net is kept in float32
        *others, (elements, _) = cache.states
        cache = msgspec.structs.replace(cache, states=(*others, (elements, _FLOAT32)))
    return sum(-(-elements // tensor) * (own or width) for elements, own in cache.states)


def bytes_per_token(model: Model, tensor: int, dtype: str, cache_dtype: str) -> int:
    """Return the bytes of a token of a long request on one rank, over all layers that keep it."""
    width = cache_bytes(dtype, cache_dtype)
    return sum(
        token_bytes(layer.cache, tensor, width)
        for layer in model.layers
        if layer.cache and layer.cache.kind in ("full", "mla")
    )


def pool(
    model: Model,
    rules: Rules,
    dtype: str,
    cache_dtype: str = "auto",
    tensor: int = 1,
    pipeline: int = 1,
    block: int = BLOCK,
) -> Pool | None:
    """Return the pool of a model; None if it keeps no cache."""
    width = cache_bytes(dtype, cache_dtype)
    caches = {i: layer.cache for i, layer in enumerate(model.layers) if layer.cache}
    if not caches:
        return None
    states = [
        state_bytes(cache, tensor, BYTES.get(dtype, 2), on_cpu=rules.on_cpu)
        for cache in caches.values()
    ]
    block = _aligned(caches, block, tensor, width, max(states))
    kinds: dict[tuple[str, int, int], list[int]] = {}
    for index, cache in caches.items():
        kind = "full" if cache.kind == "mla" else cache.kind
        if not rules.hybrid and kind in ("sliding", "chunked"):
            kind = "full"
        page = 0 if kind == "state" else token_bytes(cache, tensor, width) * block
        kinds.setdefault((kind, cache.window if kind != "full" else 0, page), []).append(index)
    pages = {key: key[2] for key in kinds if key[0] != "state"}
    if not pages:  # only states: one block holds the states of one request
        page = max(states)
    elif len({key[0] for key in kinds}) == 1 and next(iter(kinds))[0] == "full":
        return _one_group(kinds, pipeline, len(model.layers), block, rules)
    else:
        page = max(pages.values())
    return _grouped(kinds, page, pipeline, len(model.layers), block, rules)


def _aligned(caches: dict[int, Cache], block: int, tensor: int, width: float, state: int) -> int:
    """Return the block size: with states, a page of attention is at least as large as a state."""
    tokens = [
        token_bytes(cache, tensor, width) for cache in caches.values() if cache.kind != "state"
    ]
    if not (state and tokens):
        return block
    unit = max(block, 128) if any(cache.kind == "mla" for cache in caches.values()) else block
    return max(block, unit * math.ceil(state / (unit * max(tokens))))


def _one_group(
    kinds: dict[tuple[str, int, int], list[int]],
    pipeline: int,
    layers: int,
    block: int,
    rules: Rules,
) -> Pool:
    pages = {index: key[2] for key, indices in kinds.items() for index in indices}
    sizes = tuple(
        sum(page for index, page in pages.items() if index in stage)
        for stage in _stages(layers, pipeline)
    )
    group = Group(kind="full", block=block, window=0, layers=tuple(sorted(pages)))
    return Pool(groups=(group,), block_bytes=sizes, rules=rules)


def _grouped(
    kinds: dict[tuple[str, int, int], list[int]],
    page: int,
    pipeline: int,
    layers: int,
    block: int,
    rules: Rules,
) -> Pool:
    """Split every kind into groups of equal size; the rest of a kind is padded."""
    fewest, most = (pick(len(indices) for indices in kinds.values()) for pick in (min, max))
    size = most if most < fewest * rules.pad_factor else fewest
    groups = []
    for (kind, window, own), indices in kinds.items():
        count = math.ceil(len(indices) / size)
        # A smaller page is filled with more tokens, where it divides the largest.
        tokens = block * (page // own) if own and page % own == 0 else block
        groups += [
            Group(
                kind=kind,  # type: ignore[arg-type]
                block=tokens,
                window=window,
                layers=tuple(indices[i::count]),
            )
            for i in range(count)
        ]
    sizes = tuple(
        page * max(sum(index in stage for index in group.layers) for group in groups)
        for stage in _stages(layers, pipeline)
    )
    return Pool(groups=tuple(groups), block_bytes=sizes, rules=rules)


def _stages(layers: int, pipeline: int) -> list[range]:
    result, first = [], 0
    for count in stages(layers, pipeline):
        result.append(range(first, first + count))
        first += count
    return result
