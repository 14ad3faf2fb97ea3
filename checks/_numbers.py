"""Attention by the book, and whether an answer is as good as its precision allows."""

from __future__ import annotations

from typing import Any


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
