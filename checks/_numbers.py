"""Reference attention, and whether an answer is as exact as its precision allows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Concatenate, NamedTuple, ParamSpec

from . import _devices

# Kernels compute their results in tiles whose sides are multiples of 16.
_TILE = 16
_SHOWN = 200

# Truncation is deterministic: a kernel that truncates where the reference does errs as it does. A
# rounding on the way there makes the error 1.12 times as large, truncating twice 1.87 times.
_TRUNCATION_TOLERANCE = 1.25

# The mean error that is always free, in units in the last place of the mean value. A quarter is
# half of the most that one rounding can cost a value of that size.
_LEAST_SHARE = 0.25

# Name, call to be tried, and the expected answer: in the same precision, and in 64 bits.
Case = tuple[str, Callable[[], Any], Any, Any]
_Inputs = ParamSpec("_Inputs")


class Roundings(NamedTuple):
    """The two accepted references in bfloat16: rounded, and truncated from 32 bits."""

    rounded: Any
    truncated: Any


def accepted_roundings(torch: Any, rounded: Any, in_32_bits: Any) -> Any:
    """Return the reference, or both references, that vLLM's kernels may be as exact as."""
    # vLLM's kernels for x86 without AVX512_BF16 drop the lower half of 32 bits where others
    # round to bfloat16. The mean error is twice as large, and toward 0; it happens once, when
    # the result is stored. GPUs and float16 round.
    if rounded.device.type != "cpu" or rounded.dtype != torch.bfloat16:
        return rounded
    return Roundings(rounded, truncate(torch, in_32_bits))


def truncate(torch: Any, numbers: Any) -> Any:
    """Return the upper half of 32 bits as bfloat16."""
    return (numbers.float().view(torch.int32) & -0x10000).view(torch.float32).to(torch.bfloat16)


def attention(
    torch: Any, query: Any, key: Any, value: Any, *, causal: bool, weights: Any = None
) -> Any:
    """Return softmax(scaled scores) x value in the precision of the inputs.

    Several heads of the query may share one of key and value. Causal is as in flash-attn: the
    last query sees the last key. `weights` is a precision to which the softmax is rounded.
    """
    shared = query.shape[2] // key.shape[2]
    key, value = (tensor.repeat_interleave(shared, dim=2) for tensor in (key, value))
    query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(
            1 + key.shape[-2] - query.shape[-2]
        )
        scores = scores.masked_fill(hidden, float("-inf"))
    shares = torch.softmax(scores, dim=-1)
    return (shares.to(weights or shares.dtype).to(value.dtype) @ value).transpose(1, 2)


def fused_attention(torch: Any, query: Any, key: Any, value: Any, *, causal: bool) -> Any:
    """Return attention as a fused kernel computes it.

    That is in 32 bits with two roundings: of the weights, and of the result.
    """
    wide = (tensor.float() for tensor in (query, key, value))
    return attention(torch, *wide, causal=causal, weights=query.dtype).to(query.dtype)


def judge_cases(
    torch: Any, cases: Iterable[Case], tolerance: float = 2.0
) -> tuple[str, dict[str, Any]]:
    """Return the first case that is wrong, with the reason, and the evidence.

    An exception that a call raises is a finding too.
    """
    count, worst, worst_name = 0, 0.0, ""
    for name, call, reference, exact in cases:
        try:
            problem, share = compare(torch, call(), reference, exact, tolerance)
        except Exception as error:
            if _devices.means_full(error):
                raise
            text = " ".join(str(error).split())[:_SHOWN]
            problem, share = f"{type(error).__name__}: {text}", 0.0
        if problem:
            return f"{name}: {problem}", {"right_before": count}
        count += 1
        if share >= worst:
            worst, worst_name = share, name
    if not count:
        return "nothing could be tried", {}
    return "", {"cases": count, "worst_of_allowed": round(worst, 3), "worst_case": worst_name}


def judged(
    cases: Callable[Concatenate[Any, _Inputs], Iterator[Case]],
) -> Callable[Concatenate[Any, _Inputs], _devices.DeviceResult]:
    """Turn a function that yields cases, and whose first parameter is torch, into their judge."""

    @functools.wraps(cases)
    def judge(
        torch: Any, /, *inputs: _Inputs.args, **settings: _Inputs.kwargs
    ) -> _devices.DeviceResult:
        return judge_cases(torch, cases(torch, *inputs, **settings))

    return judge


def dtype_name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def compare(
    torch: Any, answer: Any, reference: Any, exact: Any, tolerance: float = 2.0
) -> tuple[str, float]:
    """Return what is wrong with an answer, or "" and the part of the allowed error that it takes.

    Two errors are compared with those of the reference in the same precision: the largest one,
    and the mean square of every tile.
    """
    # Two bounds, because a tile that is off by 1 % stays below the largest rounding error of
    # bfloat16, but lies far above the mean one. Truncation only needs a wider mean: the largest
    # error already has room for it.
    truncated = None
    if isinstance(reference, Roundings):
        reference, truncated = reference
    if answer.shape != exact.shape or answer.dtype != reference.dtype:
        expected = f"{reference.dtype} {tuple(exact.shape)} was expected"
        return f"it is {answer.dtype} {tuple(answer.shape)}, and {expected}", 0.0
    error, own = (float((tensor.double() - exact).abs().max()) for tensor in (answer, reference))
    # A reference without any error would allow none: two units in the last place are free.
    eps = float(torch.finfo(answer.dtype).eps)
    allowed = tolerance * own + 2 * eps * float(exact.abs().max())
    if not error <= allowed:  # "not <=", since a NaN is no answer
        return f"off by {error:.3g}, and {allowed:.3g} is allowed", 0.0
    # A reference that happens to be exact in one tile sets no bound below a single rounding.
    spread, own_spread, least = (
        _tile_errors(torch, tensor.double() - exact)
        for tensor in (answer, reference, exact.to(answer.dtype))
    )
    bounds = tolerance * torch.maximum(own_spread, least)
    # Where the exact values are 0, both are exact. A kernel that reaches 0 by subtraction is not.
    bounds = bounds.clamp(min=_LEAST_SHARE * eps * float(exact.square().mean().sqrt()))
    if truncated is not None:
        bounds = torch.maximum(
            bounds, _TRUNCATION_TOLERANCE * _tile_errors(torch, truncated.double() - exact)
        )
    shares = spread / bounds
    shares[spread == 0] = 0  # also where nothing is allowed
    worst = int(shares.argmax())
    share = float(shares[worst])
    if not share <= 1:
        return (
            f"tile {worst} of {len(shares)} is off by {share:.3g} times the allowed mean error",
            0.0,
        )
    return "", max(error / allowed if error else 0.0, share)


def _tile_errors(torch: Any, error: Any) -> Any:
    """Return the root mean square of every tile of the last two dimensions.

    With fewer rows than a tile has, the values are taken in a line.
    """
    # All tiles have the same number of values. With a last tile of a single row, in which the
    # reference happened to be exact, healthy kernels were called wrong.
    if error.shape[-2] < _TILE:
        line = _pad(torch, error.flatten(), 0, _TILE * _TILE)
        return line.reshape(-1, _TILE * _TILE).square().mean(1).sqrt()
    for dimension in (-2, -1):
        error = _pad(torch, error, dimension, _TILE)
    high, wide = (length // _TILE for length in error.shape[-2:])
    return error.reshape(-1, high, _TILE, wide, _TILE).square().mean((2, 4)).sqrt().flatten()


def _pad(torch: Any, error: Any, dimension: int, tile: int) -> Any:
    """Extend to whole tiles: the last one overlaps the one before, a single one gets zeros."""
    length = error.shape[dimension]
    if length < tile:
        missing = [*error.shape]
        missing[dimension] = tile - length
        return torch.cat((error, error.new_zeros(missing)), dimension)
    if not (rest := length % tile):
        return error
    indices = [*range(length - rest), *range(length - tile, length)]
    return error.index_select(dimension, torch.tensor(indices, device=error.device))
