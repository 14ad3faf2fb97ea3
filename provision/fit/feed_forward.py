"""The feed-forward part of one layer: dense, or a mixture of experts with all of its experts."""

from __future__ import annotations

from provision.fit._model import Experts, Matrix
from provision.fit.fields import Fields

# Architectures with two matrices, where others have a third one that gates.
_WITHOUT_GATE = {
    "gpt2",
    "gptj",
    "gpt_neox",
    "gpt_bigcode",
    "starcoder2",
    "phi",
    "opt",
    "falcon",
    "bloom",
    "mpt",
    "nemotron",
    "nemotron_h",
    "persimmon",
    "codegen",
    "stablelm_epoch",
    "bert",
    "roberta",
    "xlm-roberta",
    "arcee",
}


def experts(fields: Fields) -> Experts | None:
    """Return the sizes of the experts; None for a dense model."""
    count = fields.number("experts", 0)
    if count < 2:
        return None
    return Experts(
        count=count,
        per_token=fields.number("experts_per_token", 2) or 1,
        intermediate=fields.number("expert_size", 0) or fields.number("intermediate_size"),
    )


def matrices(fields: Fields, index: int, model_type: str) -> tuple[Matrix, ...]:
    """Return the weights of layer number `index`."""
    name = f"layers.{index}.mlp"
    kind = _pattern(fields, index)
    if kind == "none":
        return ()
    mixture = experts(fields)
    if mixture is None or (kind != "experts" and not _is_mixture(fields, index, model_type)):
        size = fields.number("intermediate_size_mlp", 0) or inner_size(fields, model_type)
        if fields.flag("use_double_wide_mlp") and _shares_cache(fields, index):
            size *= 2
        return dense(name, fields.number("hidden_size"), size, model_type)
    beside = (
        dense(name, fields.number("hidden_size"), fields.number("intermediate_size"), model_type)
        if model_type.startswith("gemma4")  # a dense part beside the experts
        else ()
    )
    return (*beside, *_mixture(fields, name, mixture, model_type))


def inner_size(fields: Fields, model_type: str) -> int:
    """Return the inner size of a dense part; older ones imply four times the hidden size."""
    implied = 4 * fields.number("hidden_size") if model_type in _WITHOUT_GATE else None
    return fields.number("intermediate_size", implied)


def dense(name: str, hidden: int, size: int, model_type: str) -> tuple[Matrix, ...]:
    parts = ("up_proj",) if model_type in _WITHOUT_GATE else ("gate_proj", "up_proj")
    return (
        *(
            Matrix(name=f"{name}.{part}", rows=size, columns=hidden, split="rows", quantised=True)
            for part in parts
        ),
        Matrix(
            name=f"{name}.down_proj", rows=hidden, columns=size, split="columns", quantised=True
        ),
    )


def _mixture(fields: Fields, name: str, mixture: Experts, model_type: str) -> tuple[Matrix, ...]:
    hidden, size = fields.number("hidden_size"), mixture.intermediate
    up = 1 if model_type in _WITHOUT_GATE else 2
    parts = [
        Matrix(
            name=f"{name}.experts.{part}",
            rows=rows,
            columns=columns,
            copies=mixture.count,
            split=split,  # type: ignore[arg-type]
            quantised=True,
            expert=True,
        )
        for part, rows, columns, split in (
            ("gate_up_proj", up * size, hidden, "rows"),
            ("down_proj", hidden, size, "columns"),
        )
    ]
    parts.append(Matrix(name=f"{name}.gate", rows=mixture.count, columns=hidden))
    if model_type.startswith("gpt_oss"):
        parts.append(
            Matrix(
                name=f"{name}.experts.bias",
                rows=up * size + hidden,
                copies=mixture.count,
                split="rows",
                expert=True,
            )
        )
    shared = fields.number("shared_expert_size", 0)
    if not shared and (count := fields.number("shared_experts", 0)):
        shared = count * size
    if not shared and model_type.startswith("llama4"):
        shared = size
    if shared:
        parts += dense(f"{name}.shared_expert", hidden, shared, model_type)
    return tuple(parts)


def _pattern(fields: Fields, index: int) -> str:
    """Return what a pattern of letters says of a layer: none, experts, dense, or "" for no pattern.

    In such a model a layer is either attention, a state or a feed-forward part.
    """
    pattern = fields.text("hybrid_override_pattern")
    if not pattern:
        return ""
    letter = pattern[index : index + 1]
    return {"-": "dense", "E": "experts"}.get(letter, "none")


def _is_mixture(fields: Fields, index: int, model_type: str) -> bool:
    """Return whether a layer of a mixture has experts; the first ones are dense in some models."""
    if fields.text("hybrid_override_pattern"):
        return False
    if index < fields.number("first_k_dense_replace", 0):
        return False
    if index in fields.numbers("mlp_only_layers"):
        return False
    if listed := fields.numbers("moe_layers"):
        return index in listed
    if isinstance(frequencies := fields.find("moe_layer_freq"), list):
        return bool(frequencies[index]) if index < len(frequencies) else True
    if model_type.startswith("llama4"):
        step = fields.number("interleave_moe_layer_step", 1) or 1
        return (index + 1) % step == 0
    if period := fields.number("expert_layer_period", 0):
        return index % period == fields.number("expert_layer_offset", 0)
    if model_type.startswith("ernie4_5"):
        return index >= fields.number("moe_layer_start_index", 0)
    step = fields.number("decoder_sparse_step", 1) or 1
    if model_type.startswith("qwen"):
        return (index + 1) % step == 0
    return True


def _shares_cache(fields: Fields, index: int) -> bool:
    shared = fields.number("num_kv_shared_layers", 0)
    return bool(shared) and index >= fields.number("num_hidden_layers") - shared
