"""Headers of safetensors files: the tensors of a checkpoint, and which of them vLLM loads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from provision.fit import weights
from provision.fit._model import GIB, Model

LONGEST = 100 * 1024 * 1024
_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2}
_FLOATS = {"F64", "F32", "F16", "BF16"}
_LAYER = re.compile(r"\blayers\.(\d{1,4})\.")
# A checkpoint that differs by more than this from its config is counted from its headers.
_SAME = 0.002
_STRANGE = 0.3


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes that vLLM loads, and what it leaves out, by reason."""

    loaded: float
    left_out: dict[str, float]


def length(first: bytes) -> int:
    """Return the length of a header from the first eight bytes of a file; 0 if it is none."""
    size = int.from_bytes(first[:8], "little") if len(first) >= 8 else 0
    return size if 0 < size <= LONGEST else 0


def tensors(header: bytes) -> dict[str, tuple[str, int]]:
    """Return dtype and number of elements of every tensor in a header; {} if it is damaged."""
    try:
        document = json.loads(header)
    except (ValueError, RecursionError):
        return {}
    result = {}
    for name, entry in document.items() if isinstance(document, dict) else ():
        if name != "__metadata__" and isinstance(entry, dict):
            result[name] = (str(entry.get("dtype")), _elements(entry.get("shape")))
    return result


def _elements(shape: Any) -> int:  # noqa: ANN401 - a value of JSON
    total = 1
    for size in shape if isinstance(shape, list) else ():
        total *= size if isinstance(size, int) and size >= 0 else 0
    return total


def shards(names: Iterable[str]) -> list[str]:
    """Return the files to count: not the doubled ones that some publishers add."""
    files = sorted(name for name in names if name.endswith(".safetensors"))
    plain = [name for name in files if not name.startswith(("consolidated", "original"))]
    return [name for name in plain or files if not name.startswith("adapter_")]


def counted(model: Model, found: dict[str, tuple[str, int]], dtype: str) -> Stored:
    """Return what vLLM loads of these tensors; float tensors take the width of the served dtype."""
    width = weights.BYTES.get(dtype, 2)
    loaded, left_out = 0.0, dict[str, float]()
    for name, (kind, elements) in found.items():
        size = elements * (width if kind in _FLOATS else _WIDTHS.get(kind, 1))
        if reason := _left_out(model, name):
            left_out[reason] = left_out.get(reason, 0.0) + size
        else:
            loaded += size
    return Stored(loaded=loaded, left_out=left_out)


def _left_out(model: Model, name: str) -> str:
    layer = _LAYER.search(name)
    beyond = layer is not None and int(layer[1]) >= len(model.layers) and "vision" not in name
    if name.startswith(("mtp.", "model.mtp.")) or (beyond and "visual" not in name):
        return "layers that predict several tokens"
    if name.endswith((".inv_freq", ".masked_bias", "rotary_emb.cos_cached")):
        return "buffers"
    if model.tied and name.endswith("lm_head.weight"):
        return "a stored head that is tied to the embedding"
    return ""


def applied(model: Model, stored: Stored, dtype: str) -> tuple[Model, tuple[str, ...]]:
    """Return the model with the size of its tensors, and what is worth saying about it."""
    computed = weights.on_disk(model, dtype)
    said = [
        f"left out: {reason}, {size / GIB:.2f} GiB"
        for reason, size in stored.left_out.items()
        if size > GIB / 100
    ]
    ratio = stored.loaded / computed
    if abs(ratio - 1) <= _SAME:
        return model, tuple(said)
    said.append(
        f"the tensors on disk have {stored.loaded / GIB:.2f} GiB, and the config implies"
        f" {computed / GIB:.2f} GiB: the tensors count"
    )
    if abs(ratio - 1) > _STRANGE:
        said.append("files are missing, or the config is of another model")
    return msgspec.structs.replace(model, stored=ratio), tuple(said)
