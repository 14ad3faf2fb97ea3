"""The tiny model by the book: a Llama in plain torch on the CPU, without a cache."""

from __future__ import annotations

from typing import Any

from . import _numbers, _tiny_weights
from ._tiny_model import NORM_EPS, ROPE_THETA


class PlainLlama:
    """In 64 bits, or in another precision to see what that costs."""

    def __init__(self, torch: Any, precision: Any = None) -> None:
        self.torch = torch
        self.precision = precision or torch.float64
        self.weights = {
            name.removesuffix(".weight"): torch.frombuffer(values, dtype=torch.float32)
            .to(self.precision)
            .reshape(shape)
            for name, (shape, values) in _tiny_weights.made().items()
        }

    def logits(self, tokens: Any) -> Any:
        """Of the word after each word, for rows of words of one length."""
        state = self.weights["model.embed_tokens"][tokens]
        for number in range(_tiny_weights.LAYERS):
            layer = f"model.layers.{number}"
            state = state + self.attended(f"{layer}.self_attn", self.norm(f"{layer}.input_layernorm", state))
            state = state + self.mixed(f"{layer}.mlp", self.norm(f"{layer}.post_attention_layernorm", state))
        return self.linear("lm_head", self.norm("model.norm", state))

    def attended(self, layer: str, state: Any) -> Any:
        heads = (self.linear(f"{layer}.{name}_proj", state).unflatten(-1, (-1, _tiny_weights.SIZE)) for name in "qkv")
        query, key, value = heads
        mixed = _numbers.attention(self.torch, self.turned(query), self.turned(key), value, causal=True)
        return self.linear(f"{layer}.o_proj", mixed.flatten(-2))

    def turned(self, heads: Any) -> Any:
        """Rotary embedding: the two halves of a head are the coordinates that turn."""
        places, half = self.torch.arange(heads.shape[1]), _tiny_weights.SIZE // 2
        speeds = ROPE_THETA ** -(self.torch.arange(half).double() / half)
        angles = places.double()[:, None, None] * speeds
        cos, sin = angles.cos().to(self.precision), angles.sin().to(self.precision)
        one, other = heads[..., :half], heads[..., half:]
        return self.torch.cat((one * cos - other * sin, other * cos + one * sin), -1)

    def mixed(self, layer: str, state: Any) -> Any:
        gate, up = (self.linear(f"{layer}.{name}_proj", state) for name in ("gate", "up"))
        return self.linear(f"{layer}.down_proj", self.torch.nn.functional.silu(gate) * up)

    def norm(self, name: str, state: Any) -> Any:
        """Its mean in 64 bits: half precision has no room for squares."""
        scale = (state.double().square().mean(-1, keepdim=True) + NORM_EPS).rsqrt()
        return (state * scale).to(self.precision) * self.weights[name]

    def linear(self, name: str, state: Any) -> Any:
        return state @ self.weights[name].T
