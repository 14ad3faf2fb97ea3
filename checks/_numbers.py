"""Attention by the book, and whether an answer is as good as its precision allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from . import _devices

_TILE = 16
_SAID = 200

# Cutting off is deterministic: a kernel that cuts where the book does errs as the book does. A rounding on the way
# there makes it 1.12 times that, and cutting off twice 1.87 times.
_OF_CUT = 1.25

# A name, the call that is tried, and what it should give: by the book in its own precision, and exactly.
Case = tuple[str, Callable[[], Any], Any, Any]


class Books(NamedTuple):
    """By the book in bfloat16: rounded, and computed in 32 bits and cut off."""

    rounded: Any
    cut: Any


def books(torch: Any, rounded: Any, in_32_bits: Any) -> Any:
    """What vLLM's kernels for this device may be as good as.

    Those for x86 without AVX512_BF16 drop the lower half of 32 bits where others round them to bfloat16. That errs by
    twice as much in the mean, and toward 0; it is done once, when the result is stored. GPUs and float16 are rounded.
    """
    if rounded.device.type != "cpu" or rounded.dtype != torch.bfloat16:
        return rounded
    return Books(rounded, cut_off(torch, in_32_bits))


def cut_off(torch: Any, numbers: Any) -> Any:
    """The upper half of 32 bits."""
    return (numbers.float().view(torch.int32) & -0x10000).view(torch.float32).to(torch.bfloat16)


def attention(torch: Any, query: Any, key: Any, value: Any, *, causal: bool, weights: Any = None) -> Any:
    """Softmax of the scaled scores, in the precision that is given; heads of key and value may serve several of query.

    Causal is as flash-attn has it: the last query sees the last key. `weights`: the precision that the softmax is
    rounded to on its way.
    """
    shared = query.shape[2] // key.shape[2]
    key, value = (each.repeat_interleave(shared, dim=2) for each in (key, value))
    query, key, value = (each.transpose(1, 2) for each in (query, key, value))
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if causal:
        ones = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill(ones.triu(1 + key.shape[-2] - query.shape[-2]), float("-inf"))
    shares = torch.softmax(scores, dim=-1)
    return (shares.to(weights or shares.dtype).to(value.dtype) @ value).transpose(1, 2)


def fused(torch: Any, query: Any, key: Any, value: Any, *, causal: bool) -> Any:
    """As a fused kernel has it: in 32 bits with two roundings, of the weights and of the result."""
    given = (each.float() for each in (query, key, value))
    return attention(torch, *given, causal=causal, weights=query.dtype).to(query.dtype)


def judged(torch: Any, cases: Iterable[Case], times: float = 2.0) -> tuple[str, dict[str, Any]]:
    """The first case that is wrong, if any, and in what. What a call raises is a finding too."""
    tried, worst, of = 0, 0.0, ""
    for name, call, same, exact in cases:
        try:
            problem, share = wrong(torch, call(), same, exact, times)
        except Exception as refusal:
            if _devices.full(refusal):
                raise
            problem, share = f"{type(refusal).__name__}: {' '.join(str(refusal).split())[:_SAID]}", 0.0
        if problem:
            return f"{name}: {problem}", {"right_before": tried}
        tried += 1
        if share >= worst:
            worst, of = share, name
    if not tried:
        return "nothing could be tried", {}
    return "", {"cases": tried, "worst_of_allowed": round(worst, 3), "worst_case": of}


def plain(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def wrong(torch: Any, found: Any, same: Any, exact: Any, times: float = 2.0) -> tuple[str, float]:
    """What is wrong with an answer, if anything, and how much of what is allowed its worst error takes.

    Twice: the largest error of all, and the mean square of every tile. A tile that is off by 1 % stays below the
    largest rounding of bfloat16, and far above the mean one. Both are held to the book in the same precision.
    Of `Books` the mean may also be that of what is cut off; the largest error has room for it as it is.
    """
    same, cut = same if isinstance(same, Books) else (same, None)
    if found.shape != exact.shape or found.dtype != same.dtype:
        return f"it is {found.dtype} {tuple(found.shape)}, and {same.dtype} {tuple(exact.shape)} was asked for", 0.0
    error, of_the_book = (float((each.double() - exact).abs().max()) for each in (found, same))
    allowed = times * of_the_book + 2 * float(torch.finfo(found.dtype).eps) * float(exact.abs().max())
    if not error <= allowed:  # an answer that is no number is no answer
        return f"off by {error:.3g}, and {allowed:.3g} is allowed", 0.0
    # What a single rounding leaves; a book that is luckier in one tile binds nobody.
    once = exact.to(found.dtype)
    spread, likewise, least = (_of_tiles(torch, each.double() - exact) for each in (found, same, once))
    bounds = times * torch.maximum(likewise, least)
    if cut is not None:
        bounds = torch.maximum(bounds, _OF_CUT * _of_tiles(torch, cut.double() - exact))
    shares = spread / bounds
    shares[spread == 0] = 0  # also where nothing is allowed
    worst = int(shares.argmax())
    share = float(shares[worst])
    if not share <= 1:
        return f"tile {worst} of {len(shares)} is off by {share:.3g} times what is allowed in the mean", 0.0
    return "", max(error / allowed if error else 0.0, share)


def _of_tiles(torch: Any, error: Any) -> Any:
    """The root of the mean square of every tile of the last two dimensions; of few rows, of values in a line.

    All tiles have as many values: healthy kernels were called wrong for a last tile of one row, in which the book was
    lucky.
    """
    if error.shape[-2] < _TILE:
        return _whole(torch, error.flatten(), 0, _TILE * _TILE).reshape(-1, _TILE * _TILE).square().mean(1).sqrt()
    for dimension in (-2, -1):
        error = _whole(torch, error, dimension, _TILE)
    high, wide = (length // _TILE for length in error.shape[-2:])
    return error.reshape(-1, high, _TILE, wide, _TILE).square().mean((2, 4)).sqrt().flatten()


def _whole(torch: Any, error: Any, dimension: int, tile: int) -> Any:
    """Cut into whole tiles: the last one overlaps the one before, and one alone is filled up."""
    length = error.shape[dimension]
    if length < tile:
        missing = [*error.shape]
        missing[dimension] = tile - length
        return torch.cat((error, error.new_zeros(missing)), dimension)
    if not (rest := length % tile):
        return error
    kept = [*range(length - rest), *range(length - tile, length)]
    return error.index_select(dimension, torch.tensor(kept, device=error.device))
