"""A config.json as a Model: layers, weights, cache, positions, quantisation."""

from __future__ import annotations

import json
from typing import Any

from provision.errors import UnreadableInput
from provision.fit import attention, feed_forward, quantisation, vision
from provision.fit._model import Layer, Matrix, Model
from provision.fit.fields import Fields

# Where configs of several parts keep the language model.
_TEXT = ("text_config", "llm_config", "language_config", "thinker_config", "decoder")
_IMAGE = (
    "UNet",
    "Transformer2D",
    "Diffusion",
    "AutoencoderKL",
    "Flux",
    "VQModel",
    "StableDiffusion",
)
_ENCODERS = ("bert", "roberta", "xlm-roberta", "modernbert", "nomic_bert", "new", "gte")
_POOLING = ("SequenceClassification", "RewardModel", "TokenClassification", "Embedding")
_STATE_ONLY = ("mamba", "mamba2", "falcon_mamba")
_MOST_LAYERS = 2000
_HINT = "give the config.json of a language model from the Hugging Face hub"


def parse(text: str, name: str, where: str) -> Model:
    """Return the model in the text of a config.json; raise UnreadableInput if it is none."""
    if not text.strip("\ufeff \t\r\n\0"):
        raise UnreadableInput("is empty", where=where, hint=_HINT)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "too deeply nested")
        line = getattr(error, "lineno", 1)
        raise UnreadableInput(
            f"is no JSON: {reason}", where=f"{where}:{line}", hint=_HINT
        ) from None
    if not isinstance(document, dict):
        raise UnreadableInput("is JSON, but no object", where=where, hint=_HINT)
    return describe(document, name, where)


def describe(document: dict[str, Any], name: str, where: str) -> Model:
    architectures = document.get("architectures")
    architecture = architectures[0] if isinstance(architectures, list) and architectures else ""
    if not isinstance(architecture, str):
        raise UnreadableInput("`architectures` is no list of names", where=where, hint=_HINT)
    _refuse_other_files(document, architecture, where)
    whole = Fields(document, where)
    text = _text_part(whole)
    model_type = text.text("model_type") or whole.text("model_type")
    count = text.number("num_hidden_layers")
    if count > _MOST_LAYERS:
        raise text.wrong(f"`num_hidden_layers` is {count}, which no model has")
    hidden, vocabulary = text.number("hidden_size"), text.number("vocab_size")
    layers, guessed = _layers(text, count, model_type)
    heads, kv_heads, size = (0, 0, 0) if model_type in _STATE_ONLY else attention.sizes(text, "any")
    tower, note = vision.matrices(whole, hidden)
    dtype = next(
        (
            found
            for part in (text, whole)
            for found in (part.text("dtype"), part.text("torch_dtype"))
            if found
        ),
        "",
    )
    tied = text.find("tie_word_embeddings")
    tied = tied if isinstance(tied, bool) else whole.find("tie_word_embeddings")
    encoder = model_type.startswith(_ENCODERS)
    first, last = _outside(text, hidden, vocabulary, model_type)
    return Model(
        name=name,
        architecture=architecture or model_type,
        model_type=model_type,
        dtype=dtype.removeprefix("torch."),
        hidden=hidden,
        vocabulary=vocabulary,
        heads=heads,
        kv_heads=kv_heads,
        head_size=size,
        intermediate=text.number("intermediate_size", 0) or 4 * hidden,
        positions=_positions(text),
        tied=tied if isinstance(tied, bool) else _ties(model_type),
        layers=layers,
        first=first,
        last=() if encoder else last,
        vision=tower,
        rotary=_rotary(text, size, model_type),
        experts=feed_forward.experts(text),
        quantisation=quantisation.read(
            document if "quantization_config" in document else text.values, where, model_type
        ),
        encoder=encoder,
        pooling=encoder or any(word in architecture for word in _POOLING),
        guessed=tuple(filter(None, (*guessed, note))),
    )


def _refuse_other_files(document: dict[str, Any], architecture: str, where: str) -> None:
    diffusers = document.get("_class_name") or document.get("_diffusers_version")
    if diffusers or any(word in architecture for word in _IMAGE):
        raise UnreadableInput(
            f"is the config of an image model ({document.get('_class_name') or architecture})",
            where=where,
            hint="vLLM's `serve` takes language models; image models need vllm-omni or diffusers",
        )
    if "peft_type" in document:
        raise UnreadableInput(
            "is the config of a LoRA adapter", where=where, hint="give the model that it adapts"
        )


def _text_part(whole: Fields) -> Fields:
    """Return the fields of the language model, which some configs keep in a part of their own."""
    part = next((part for key in _TEXT if (part := whole.part(key))), None)
    if part is None:
        return whole
    if inner := part.part("text_config"):  # thinker_config of the omni models
        part = inner
    outer = {
        key: value
        for key, value in whole.values.items()
        if key in ("tie_word_embeddings", "torch_dtype", "dtype") and key not in part.values
    }
    return Fields({**outer, **part.values}, whole.where)


def _layers(text: Fields, count: int, model_type: str) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    hidden = text.number("hidden_size")
    kinds = attention.kinds(text, count, model_type)
    kinds += ["full"] * (count - len(kinds))
    shared = text.number("num_kv_shared_layers", 0)
    norms = 4 if model_type.startswith(("gemma2", "gemma3", "gemma4", "glm4")) else 2
    per_layer = text.number("hidden_size_per_layer_input", 0)
    layers = []
    for index, kind in enumerate(kinds):
        name = f"layers.{index}.{'linear_attn' if kind == 'state' else 'self_attn'}"
        matrices: tuple[Matrix, ...] = ()
        cache = None
        for part in ("full", "state") if kind == "both" else (kind,):
            weights, own = attention.projections(text, name, part, model_type)
            matrices, cache = (*matrices, *weights), own or cache
        if model_type not in _STATE_ONLY:
            matrices += feed_forward.matrices(text, index, model_type)
        matrices += (Matrix(name=f"layers.{index}.norms", rows=norms * hidden),)
        if per_layer:
            matrices += (
                Matrix(name=f"layers.{index}.per_layer", rows=2 * per_layer, columns=hidden),
            )
        layers.append(
            Layer(matrices=matrices, cache=None if shared and index >= count - shared else cache)
        )
    guessed = (
        ("both kinds of attention of each layer share one cache here",) if "both" in kinds else ()
    )
    return tuple(layers), guessed


def _outside(
    text: Fields, hidden: int, vocabulary: int, model_type: str
) -> tuple[tuple[Matrix, ...], tuple[Matrix, ...]]:
    """Return the weights before the first and after the last layer; both are padded."""
    padded = -(-vocabulary // 64) * 64
    width = text.number("embedding_size", hidden) or hidden
    first = [Matrix(name="embed_tokens", rows=padded, columns=width, split="rows")]
    if model_type.startswith(_ENCODERS) or model_type in ("gpt2", "opt", "gpt_bigcode"):
        first.append(Matrix(name="embed_positions", rows=_positions(text), columns=hidden))
    if per_layer := text.number("hidden_size_per_layer_input", 0):
        rows = text.number("vocab_size_per_layer_input", vocabulary) or vocabulary
        count = text.number("num_hidden_layers")
        first += [
            Matrix(name="embed_per_layer", rows=rows, columns=per_layer * count, split="rows"),
            Matrix(name="per_layer_projection", rows=per_layer * count, columns=hidden),
        ]
    last = (
        Matrix(name="lm_head", rows=padded, columns=hidden, split="rows"),
        Matrix(name="norm", rows=hidden),
    )
    return tuple(first), last


def _ties(model_type: str) -> bool:
    """Return whether an architecture ties the head to the embedding where its config is silent."""
    return model_type.startswith(("gemma", "paligemma", "cohere", "gpt2", "opt", "bloom", "falcon"))


def _scaling(text: Fields) -> Fields | None:
    return text.part("rope_scaling") or text.part("rope_parameters")


def _positions(text: Fields) -> int:
    """Return the longest context that the config allows, with its scaling of positions."""
    if text.text("model_type").startswith("gemma3"):  # its positions include the scaling
        return text.number("max_position_embeddings", 131072)
    return _scaled(text)


def _scaled(text: Fields) -> int:
    """Return the length of the table of positions."""
    positions = text.number("max_position_embeddings", 0) or 8192
    scaling = _scaling(text)
    if scaling is None:
        return positions
    kind = scaling.text("rope_type") or scaling.text("type")
    factor = scaling.find("factor")
    original = scaling.number("original_max_position_embeddings", 0)
    if not isinstance(factor, (int, float)) or factor <= 1:
        return positions
    if kind == "yarn":
        return int((original or positions) * factor)
    return int(positions * factor) if kind in ("linear", "dynamic") else positions


def _rotary(text: Fields, size: int, model_type: str) -> int:
    """Return the elements of the tables of sines and cosines; layers of one kind share a table."""
    if text.find("kv_lora_rank"):
        scaled = 2 if _scaling(text) else 1  # DeepSeek's scaling keeps its table in float32
        return _scaled(text) * text.number("qk_rope_head_dim", 64) * scaled
    part = text.find("partial_rotary_factor")
    scaling = _scaling(text)
    if part is None and scaling is not None:
        part = scaling.find("partial_rotary_factor")
    share = part if isinstance(part, (int, float)) and 0 < part <= 1 else 1
    table = int(_scaled(text) * size * share)
    if model_type.startswith(("gemma3", "gemma4")):  # one more for sliding layers, not scaled
        table += text.number("max_position_embeddings", 131072) * size
    return table
