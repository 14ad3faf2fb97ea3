"""Count weights with vLLM's own model code, in a child of the environment."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from provision.doors import process
from provision.fit import weights
from provision.fit._model import GIB, Model

_DEADLINE_S = 600.0
_LENGTH = 1024  # a context that every model has; it changes no weight
_SAME = 0.0005


def counted(
    model: Model, place: str, script: str, config: str, environment: Mapping[str, str]
) -> tuple[Model, str]:
    """Return the model with the size that vLLM's own code counts, and what to say about it.

    `place` is the environment, `script` the file that counts.
    """
    with tempfile.TemporaryDirectory(prefix="vllm-ready-fit-") as folder:
        (Path(folder) / "config.json").write_text(config, encoding="utf-8")
        output = Path(folder) / "counted.json"
        length = str(min(_LENGTH, model.positions))
        finished = process.run(
            [os.path.join(place, "bin", "python"), script, folder, length, str(output)],
            deadline_s=_DEADLINE_S,
            env={key: value for key, value in environment.items() if key != "PYTHONPATH"},
            ends_with_us=True,
        )
        try:
            document = json.loads(output.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            document = {"problem": finished.ending}
    if "bytes" not in document:
        return model, f"vLLM's own code could not count it: {document.get('problem')}"
    return applied(model, int(document["bytes"]))


def applied(model: Model, size: int) -> tuple[Model, str]:
    """Return the model with this size of parameters and buffers, without copies made at load."""
    dtype = model.dtype if model.dtype in weights.BYTES else "bfloat16"
    tables = model.rotary * weights.BYTES[dtype]
    computed = weights.on_disk(model, dtype)
    ratio = (size - tables) / computed
    said = f"vLLM's own code counts {size / GIB:.3f} GiB of weights"
    if abs(ratio - 1) <= _SAME:
        return model, f"{said}, as computed"
    said = f"{said}, and the config implies {(computed + tables) / GIB:.3f} GiB: its count is used"
    return msgspec.structs.replace(model, stored=ratio, guessed=()), said
