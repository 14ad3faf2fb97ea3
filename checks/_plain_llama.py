"""The tiny model in plain torch on the CPU, without a cache: the reference for vLLM's answers."""

from __future__ import annotations

from typing import Any

from . import _numbers, _tiny_weights
from ._tiny_model import NORM_EPS, ROPE_THETA


class PlainLlama:
    """A Llama in 64 bits, or in another precision to measure what that costs."""

    def __init__(self, torch: Any, precision: Any = None) -> None:
        self.torch = torch
        self.precision = precision or torch.float64
        self.weights = {
            name.removesuffix(".weight"): torch.frombuffer(values, dtype=torch.float32)
            .to(self.precision)
            .reshape(shape)
            for name, (shape, values) in _tiny_weights.make_tensors().items()
        }

    def logits(self, tokens: Any) -> Any:
        """Return the logits of the next token after each token, for rows of one length."""
        state = self.weights["model.embed_tokens"][tokens]
        for number in range(_tiny_weights.LAYERS):
            layer = f"model.layers.{number}"
            state = state + self.attend(
                f"{layer}.self_attn", self.norm(f"{layer}.input_layernorm", state)
            )
            state = state + self.feed_forward(
                f"{layer}.mlp", self.norm(f"{layer}.post_attention_layernorm", state)
            )
        return self.linear("lm_head", self.norm("model.norm", state))

    def attend(self, layer: str, state: Any) -> Any:
        query, key, value = (
            self.linear(f"{layer}.{name}_proj", state).unflatten(-1, (-1, _tiny_weights.SIZE))
            for name in "qkv"
        )
        query, key = self.rotate(query), self.rotate(key)
        mixed = _numbers.attention(self.torch, query, key, value, causal=True)
        return self.linear(f"{layer}.o_proj", mixed.flatten(-2))

    def rotate(self, heads: Any) -> Any:
        """Apply rotary embedding; the two halves of a head are the coordinates that turn."""
        positions, half = self.torch.arange(heads.shape[1]), _tiny_weights.SIZE // 2
        speeds = ROPE_THETA ** -(self.torch.arange(half).double() / half)
        angles = positions.double()[:, None, None] * speeds
        cos, sin = angles.cos().to(self.precision), angles.sin().to(self.precision)
        left, right = heads[..., :half], heads[..., half:]
        return self.torch.cat((left * cos - right * sin, right * cos + left * sin), -1)

    def feed_forward(self, layer: str, state: Any) -> Any:
        gate, up = (self.linear(f"{layer}.{name}_proj", state) for name in ("gate", "up"))
        return self.linear(f"{layer}.down_proj", self.torch.nn.functional.silu(gate) * up)

    def norm(self, name: str, state: Any) -> Any:
        # The mean is taken in 64 bits: squares overflow half precision.
        scale = (state.double().square().mean(-1, keepdim=True) + NORM_EPS).rsqrt()
        return (state * scale).to(self.precision) * self.weights[name]

    def linear(self, name: str, state: Any) -> Any:
        return state @ self.weights[name].T
