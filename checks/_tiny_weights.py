"""The weights of the tiny model, the same on every machine, and their file format."""

from __future__ import annotations

import hashlib
import json
from array import array

Tensor = tuple[list[int], "array[float]"]  # in quotes: not every Python has array[float]

SEED = 0
WORDS, HIDDEN, INNER, LAYERS = 256, 128, 256, 2
HEADS, SHARED, SIZE = 8, 2, 64  # heads of the query, heads of key and value, width of a head
# Special tokens have zero weights in the head, so none is ever chosen and no answer ends early.
SPECIAL = ("<pad>", "<s>", "</s>")
_LAYER = (
    # With these scales attention looks at a few tokens, and all parts weigh about the same.
    ("input_layernorm", [HIDDEN], 512, 1.0),
    ("self_attn.q_proj", [HEADS * SIZE, HIDDEN], 512, 0.0),
    ("self_attn.k_proj", [SHARED * SIZE, HIDDEN], 512, 0.0),
    ("self_attn.v_proj", [SHARED * SIZE, HIDDEN], 1024, 0.0),
    ("self_attn.o_proj", [HIDDEN, HEADS * SIZE], 1024, 0.0),
    ("post_attention_layernorm", [HIDDEN], 512, 1.0),
    ("mlp.gate_proj", [INNER, HIDDEN], 512, 0.0),
    ("mlp.up_proj", [INNER, HIDDEN], 512, 0.0),
    ("mlp.down_proj", [HIDDEN, INNER], 1024, 0.0),
)


def make_tensors() -> dict[str, Tensor]:
    """Return shape and values of each tensor by name."""
    # A value is a byte divided by a power of two, so no half precision has to round it.
    _, head = _tensor("head", [WORDS, HIDDEN], 256, 0.0)
    zeros = len(SPECIAL) * HIDDEN
    tensors = {
        "model.embed_tokens.weight": _tensor("embed", [WORDS, HIDDEN], 64, 0.0),
        "model.norm.weight": _tensor("norm", [HIDDEN], 512, 1.0),
        "lm_head.weight": ([WORDS, HIDDEN], array("f", [0.0] * zeros) + head[zeros:]),
    }
    for layer in range(LAYERS):
        for name, shape, scale, middle in _LAYER:
            tensors[f"model.layers.{layer}.{name}.weight"] = _tensor(
                f"{layer} {name}", shape, scale, middle
            )
    return tensors


def _tensor(name: str, shape: list[int], scale: int, middle: float) -> Tensor:
    count = shape[0] * (shape[1] if len(shape) > 1 else 1)
    by_byte = [(byte - 128) / scale + middle for byte in range(256)]
    return shape, array("f", map(by_byte.__getitem__, pseudo_random_bytes(name, count)))


def pseudo_random_bytes(name: str, count: int) -> bytes:
    # A hash, since random generators differ between versions of Python and torch.
    return hashlib.shake_256(f"{SEED} {name}".encode()).digest(count)


def safetensors(tensors: dict[str, Tensor]) -> bytes:
    """Return the file: the header's length in eight bytes, the header, and all values."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    data, end = [], 0
    for name, (shape, values) in tensors.items():
        data.append(values.tobytes())
        begin, end = end, end + len(data[-1])
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)  # the format wants values aligned to 8 bytes
    return len(head).to_bytes(8, "little") + head + b"".join(data)
