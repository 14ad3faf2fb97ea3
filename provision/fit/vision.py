"""The weights of a vision tower and of its projector, as far as a config names their sizes."""

from __future__ import annotations

from provision.fit._model import Matrix
from provision.fit.fields import Fields

# Towers whose feed-forward part has a third matrix that gates.
_GATED = ("pixtral", "qwen2_5_vl", "mistral3", "gemma4")


def matrices(config: Fields, hidden: int) -> tuple[tuple[Matrix, ...], str]:
    """Return the weights of the tower, and a note where the config does not name its sizes."""
    tower = config.part("vision_config") or config.part("vit_config")
    if tower is None:
        return (), ""
    width = _first(tower, "hidden_size", "embed_dim", "width", "vt_hidden_size")
    depth = _first(tower, "num_hidden_layers", "depth", "layers", "vt_num_hidden_layers")
    if not (width and depth):
        return (), "the vision tower's sizes are not named by the config and were left out"
    # Qwen2-VL calls the width of its tower embed_dim, and that of the model hidden_size.
    width = tower.number("embed_dim", width)
    ratio = tower.find("mlp_ratio")
    ratio = ratio if isinstance(ratio, (int, float)) else 4
    inner = _first(tower, "intermediate_size", "vt_intermediate_size") or int(width * ratio)
    kind = tower.text("model_type") or config.text("model_type")
    gates = 3 if kind.startswith(_GATED) else 2
    patch = tower.number("patch_size", 14)
    patch = patch or 14
    frames = tower.number("temporal_patch_size", 1) or 1
    layer = Matrix(
        name="vision.layers",
        rows=4 * width + gates * inner,
        columns=width,
        copies=depth,
        split="rows",
        quantised=True,
    )
    small = 10 * width * depth + 3 * patch * patch * frames * width
    small += _positions(tower, patch) * width
    return (
        layer,
        Matrix(name="vision.embeddings", rows=small),
        *_projector(config, tower, width, hidden),
    ), ""


def _positions(tower: Fields, patch: int) -> int:
    named = tower.number("num_position_embeddings", 0)
    size = tower.number("image_size", 0)
    return named or (size // patch) ** 2


def _projector(config: Fields, tower: Fields, width: int, hidden: int) -> tuple[Matrix, ...]:
    """Return the projector from the tower to the model: it merges patches, then maps them."""
    if config.text("model_type").startswith("gemma"):  # one linear map after pooling
        return (Matrix(name="vision.projector", rows=hidden, columns=width),)
    if deep := tower.number("vision_output_dim", 0):  # Llama 4
        inner = tower.number("intermediate_size", width)
        return (
            Matrix(name="vision.adapter", rows=deep + inner, columns=deep),
            Matrix(name="vision.projector", rows=hidden, columns=deep),
        )
    merge = tower.number("spatial_merge_size", 0) or config.number("spatial_merge_size", 0)
    if not merge and (kernel := tower.numbers("merge_kernel_size")):
        merge = kernel[0]
    inner = width * (merge or 1) ** 2
    result = (
        Matrix(name="vision.projector.0", rows=inner if merge else hidden, columns=inner),
        Matrix(name="vision.projector.1", rows=hidden, columns=inner if merge else hidden),
    )
    if config.text("model_type") == "mistral3":  # merges first, then maps twice
        result = (
            Matrix(name="vision.projector.0", rows=width, columns=inner),
            Matrix(name="vision.projector.1", rows=hidden, columns=width + hidden),
        )
    levels = len(tower.numbers("deepstack_visual_indexes"))
    extra = Matrix(
        name="vision.projector.deep", rows=inner + hidden, columns=inner, copies=max(1, levels)
    )
    return (*result, extra) if levels else result


def _first(fields: Fields, *names: str) -> int:
    return next((fields.number(name, 0) for name in names if fields.number(name, 0)), 0)
