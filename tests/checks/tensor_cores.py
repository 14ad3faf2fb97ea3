"""The arithmetic of tensor cores, simulated in 64 bits; runs beside a real torch.

A tensor core multiplies exactly, aligns a group of products and the sum so far to the largest of
them, drops what lies below its last bit, and adds. The sum is kept in 32 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Keys of one step of a flash kernel; the softmax is corrected after each.
_BLOCK = 64


@dataclass(frozen=True)
class TensorCore:
    """`bits` are kept of each product, and `group` products are added at once."""

    torch: Any
    bits: int
    group: int = 16

    def multiply(self, left: Any, right: Any) -> Any:
        """Return left @ right as float32."""
        left, right = left.double(), right.double()
        total = left.new_zeros((*left.shape[:-1], right.shape[-1]))
        for begin in range(0, left.shape[-1], self.group):
            columns = slice(begin, begin + self.group)
            products = left[..., columns, None] * right[..., None, columns, :]
            largest = self.torch.maximum(products.abs().amax(-2), total.abs())
            unit = self._last_bit(largest, self.bits)
            total = (products / unit.unsqueeze(-2)).trunc().sum(-2) + (total / unit).trunc()
            total = self._cut(total * unit, 24)
        return total.float()

    def _last_bit(self, numbers: Any, bits: int) -> Any:
        """Return the value of the last of so many bits of a number, 1 for the number 0."""
        exponent = self.torch.frexp(numbers).exponent - bits
        bit = self.torch.ldexp(self.torch.ones_like(numbers), exponent)
        return self.torch.where(numbers == 0, 1.0, bit)

    def _cut(self, numbers: Any, bits: int) -> Any:
        unit = self._last_bit(numbers.abs(), bits)
        return (numbers / unit).trunc() * unit


def product(core: TensorCore) -> Callable[[Any, Any], Any]:
    """Return a product of halves that is rounded once."""

    def multiply(left: Any, right: Any) -> Any:
        if left.dtype == core.torch.float32:  # tensor cores take no part in it
            return left @ right
        return core.multiply(left, right).to(left.dtype)

    return multiply


def split_product(core: TensorCore, *, in_half: bool) -> Callable[[Any, Any], Any]:
    """Return a product whose sums are split in four and added, in 32 bits or in halves."""

    def multiply(left: Any, right: Any) -> Any:
        if left.dtype == core.torch.float32:
            return left @ right
        quarter = -(-left.shape[-1] // 4)
        parts = [
            core.multiply(left[..., at : at + quarter], right[..., at : at + quarter, :])
            for at in range(0, left.shape[-1], quarter)
        ]
        parts = [part.to(left.dtype) for part in parts] if in_half else parts
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total.to(left.dtype)

    return multiply


def flash(core: TensorCore, query: Any, key: Any, value: Any, *, causal: bool) -> tuple[Any, Any]:
    """Return attention and the logarithms of its sums, as a flash kernel computes them.

    The weights are not normalised when they are rounded to halves. Heads come before rows.
    """
    torch, kind = core.torch, query.dtype
    rows, width, keys = query.shape[-2], query.shape[-1], key.shape[-2]
    most = query.new_full((*query.shape[:-1], 1), float("-inf"), dtype=torch.float32)
    total = torch.zeros_like(most)
    answer = query.new_zeros((*query.shape[:-1], value.shape[-1]), dtype=torch.float32)
    for begin in range(0, keys, _BLOCK):
        part = slice(begin, begin + _BLOCK)
        scores = core.multiply(query, key[..., part, :].transpose(-1, -2)) * width**-0.5
        if causal:
            scores = scores.masked_fill(_hidden(torch, rows, keys)[:, part], float("-inf"))
        higher = torch.maximum(most, scores.amax(-1, keepdim=True))
        base = higher.masked_fill(higher == float("-inf"), 0.0)  # no key has been seen yet
        shares = torch.exp(scores - base)
        correction = torch.exp(most - base)
        total = total * correction + shares.sum(-1, keepdim=True)
        answer = answer * correction + core.multiply(shares.to(kind), value[..., part, :])
        most = higher
    return (answer / total).to(kind), most + torch.log(total)


def flash_gradients(
    core: TensorCore, inputs: tuple[Any, Any, Any], upstream: Any, *, causal: bool
) -> tuple[Any, Any, Any]:
    """Return the gradients of query, key and value, as a flash kernel computes them."""
    query, key, value = inputs
    torch, kind, scale = core.torch, query.dtype, query.shape[-1] ** -0.5
    answer, sums = flash(core, query, key, value, causal=causal)
    scores = core.multiply(query, key.transpose(-1, -2)) * scale
    if causal:
        hidden = _hidden(torch, query.shape[-2], key.shape[-2])
        scores = scores.masked_fill(hidden, float("-inf"))
    shares = torch.exp(scores - sums)
    own = (upstream.float() * answer.float()).sum(-1, keepdim=True)
    through = core.multiply(upstream, value.transpose(-1, -2))
    of_scores = (shares * (through - own)).to(kind)
    return (
        (core.multiply(of_scores, key) * scale).to(kind),
        (core.multiply(of_scores.transpose(-1, -2), query) * scale).to(kind),
        core.multiply(shares.to(kind).transpose(-1, -2), upstream).to(kind),
    )


def _hidden(torch: Any, rows: int, keys: int) -> Any:
    """Return what a causal mask hides; the last row sees the last key."""
    return torch.ones(rows, keys, dtype=torch.bool).triu(1 + keys - rows)


def attention(core: TensorCore) -> Callable[..., Any]:
    """Return attention with gradients; rows come before heads, and heads may share keys."""
    torch = core.torch

    class Flash(torch.autograd.Function):  # type: ignore[misc, name-defined] # torch is an argument
        @staticmethod
        def forward(ctx: Any, query: Any, key: Any, value: Any, causal: bool) -> Any:
            ctx.save_for_backward(query, key, value)
            ctx.causal = causal
            return flash(core, query, key, value, causal=causal)[0]

        @staticmethod
        def backward(ctx: Any, upstream: Any) -> Any:
            gradients = flash_gradients(core, ctx.saved_tensors, upstream, causal=ctx.causal)
            return (*gradients, None)

    def attend(query: Any, key: Any, value: Any, causal: bool) -> Any:
        query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
        shared = query.shape[1] // key.shape[1]
        # The gradient of this sums up the heads, in 32 bits as kernels do.
        key, value = (_repeat(torch, tensor, shared) for tensor in (key, value))
        return Flash.apply(query, key, value, causal).transpose(1, 2)

    return attend


def _repeat(torch: Any, tensor: Any, times: int) -> Any:
    class Repeat(torch.autograd.Function):  # type: ignore[misc] # as above
        @staticmethod
        def forward(ctx: Any, heads: Any) -> Any:  # noqa: ARG004 - torch's signature
            return heads.repeat_interleave(times, dim=1)

        @staticmethod
        def backward(ctx: Any, upstream: Any) -> Any:  # noqa: ARG004 - as above
            groups = upstream.unflatten(1, (-1, times)).float()
            return groups.sum(2).to(upstream.dtype)

    return tensor if times == 1 else Repeat.apply(tensor)
