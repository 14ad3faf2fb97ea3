"""Attention by the book, and whether an answer is as good as its precision allows."""

from __future__ import annotations

from typing import Any

_TILE = 16


def attention(torch: Any, query: Any, key: Any, value: Any, *, causal: bool) -> Any:
    """Softmax of the scaled scores, in the precision that is given; heads of key and value may serve several of query.

    Causal is as flash-attn has it: the last query sees the last key.
    """
    shared = query.shape[2] // key.shape[2]
    key, value = (each.repeat_interleave(shared, dim=2) for each in (key, value))
    query, key, value = (each.transpose(1, 2) for each in (query, key, value))
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if causal:
        ones = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill(ones.triu(1 + key.shape[-2] - query.shape[-2]), float("-inf"))
    return (torch.softmax(scores, dim=-1) @ value).transpose(1, 2)


def off(torch: Any, found: Any, same: Any, exact: Any, times: float = 2.0) -> tuple[float, float]:
    """The largest error of an answer, and the largest allowed: so many times that of the book in the same precision,
    and the rounding of the result. Compare with `<=`: an answer that is no number is no answer."""
    rounding = 2 * float(torch.finfo(found.dtype).eps) * float(exact.abs().max())
    error, of_the_book = (float((each.double() - exact).abs().max()) for each in (found, same))
    return error, times * of_the_book + rounding


def wrong(torch: Any, found: Any, same: Any, exact: Any, times: float = 2.0) -> tuple[str, float]:
    """What is wrong with an answer, if anything, and how much of what is allowed its worst error takes.

    Twice: the largest error of all, and the mean square of every tile. A tile that is off by 1 % stays below the
    largest rounding of bfloat16, and far above the mean one. Both are held to the book in the same precision.
    """
    if found.shape != exact.shape or found.dtype != same.dtype:
        return f"it is {found.dtype} {tuple(found.shape)}, and {same.dtype} {tuple(exact.shape)} was asked for", 0.0
    error, allowed = off(torch, found, same, exact, times)
    if not error <= allowed:
        return f"off by {error:.3g}, and {allowed:.3g} is allowed", 0.0
    # What a single rounding leaves; a book that is luckier in one tile binds nobody.
    once = exact.to(found.dtype)
    spread, of_the_book, least = (_of_tiles(torch, each.double() - exact) for each in (found, same, once))
    shares = spread / (times * torch.maximum(of_the_book, least))
    shares[spread == 0] = 0  # also where nothing is allowed
    worst = int(shares.argmax())
    share = float(shares[worst])
    if not share <= 1:
        return f"tile {worst} of {len(shares)} is off by {share:.3g} times what is allowed in the mean", 0.0
    return "", max(error / allowed if error else 0.0, share)


def _of_tiles(torch: Any, error: Any) -> Any:
    """The root of the mean square of every tile of the last two dimensions."""
    rows, columns = (-length % _TILE for length in error.shape[-2:])
    whole = torch.nn.functional.pad(error, (0, columns, 0, rows))
    high, wide = (length // _TILE for length in whole.shape[-2:])
    return whole.reshape(-1, high, _TILE, wide, _TILE).square().mean((2, 4)).sqrt().flatten()
