"""The weights and the cache of one attention or state layer, read from a config."""

from __future__ import annotations

import math

from provision.fit._model import Cache, Matrix
from provision.fit.fields import Fields

# Architectures whose projections of queries, keys and values have a bias that no field names.
_BIASED = {"qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl", "qwen2_audio", "gpt2", "phi", "opt"}
# Architectures that normalise each head of queries and keys.
_NORMED = ("qwen3", "gemma3", "gemma4", "olmo2", "glm4_moe", "hunyuan", "minimax_m2", "exaone4")
_FLOAT32 = 4


def kinds(fields: Fields, layers: int, model_type: str) -> list[str]:
    """Return the kind of each layer: full, sliding, chunked, state, both, mamba1 or none."""
    if pattern := fields.text("hybrid_override_pattern"):
        names = {"M": "state", "*": "full"}
        return [names.get(letter, "none") for letter in pattern[:layers]]
    if listed := fields.words("layer_types") or fields.words("layers_block_type"):
        return [_kind(word) for word in listed[:layers]]
    window = fields.find("sliding_window")
    if every := fields.number("full_attention_interval", 0):
        return ["full" if (i + 1) % every == 0 else "state" for i in range(layers)]
    if period := fields.number("attn_layer_period", 0):
        offset = fields.number("attn_layer_offset", 0)
        return ["full" if i % period == offset else "mamba1" for i in range(layers)]
    if indices := fields.numbers("attn_layer_indices"):
        return ["full" if i in indices else "state" for i in range(layers)]
    if model_type == "falcon_h1":
        return ["both"] * layers
    if model_type in ("mamba", "falcon_mamba"):
        return ["mamba1"] * layers
    if model_type == "mamba2":
        return ["state"] * layers
    if fields.find("attention_chunk_size") and model_type.startswith("llama4"):
        every = fields.number("no_rope_layer_interval", 4)
        listed_numbers = fields.numbers("no_rope_layers")
        full = [i for i, rope in enumerate(listed_numbers) if not rope] if listed_numbers else []
        full = full or [i for i in range(layers) if (i + 1) % every == 0]
        return ["full" if i in full else "chunked" for i in range(layers)]
    if not window or fields.values.get("use_sliding_window") is False:
        return ["full"] * layers
    every = fields.number("sliding_window_pattern", 0) or _interleaving(model_type)
    if every:
        return ["full" if (i + 1) % every == 0 else "sliding" for i in range(layers)]
    if model_type.startswith("qwen2"):  # the upper layers slide
        first = fields.number("max_window_layers", layers)
        return ["full" if i < first else "sliding" for i in range(layers)]
    return ["sliding"] * layers


def _interleaving(model_type: str) -> int:
    """Return the distance of full layers that the code of an architecture has, or 0."""
    if model_type.startswith("gemma3"):
        return 6
    if model_type.startswith(("gemma2", "gpt_oss")):
        return 2
    return 4 if model_type.startswith(("cohere2", "exaone4")) else 0


def _kind(word: str) -> str:
    for kind in ("sliding", "chunked", "full"):
        if kind in word:
            return kind
    if "linear" in word or "mamba" in word or word in ("recurrent", "conv", "kda", "gdn"):
        return "state"
    return "full" if "attention" in word else "none"


def projections(
    fields: Fields, name: str, kind: str, model_type: str
) -> tuple[tuple[Matrix, ...], Cache | None]:
    """Return the weights and the cache of one layer of this kind."""
    if kind == "none":
        return (), None
    if kind in ("state", "mamba1"):
        if fields.find("linear_num_value_heads"):
            return _delta_net(fields, name)
        return _mamba1(fields, name) if kind == "mamba1" else _mamba2(fields, name)
    if fields.find("kv_lora_rank"):
        return _latent(fields, name)
    return _grouped(fields, name, kind, model_type)


def sizes(fields: Fields, kind: str = "full") -> tuple[int, int, int]:
    """Return heads, heads of keys and values, and the size of a head."""
    heads = fields.number("num_attention_heads")
    kv_heads = fields.number("num_key_value_heads", heads)
    if fields.flag("multi_query") and not fields.find("num_key_value_heads"):
        kv_heads = 1
    hidden = fields.number("hidden_size")
    size = fields.number("head_dim", 0)
    if not size and hidden % heads:
        raise fields.wrong(
            f"`hidden_size` {hidden} is not divisible by `num_attention_heads` {heads}"
        )
    size = size or hidden // heads
    if kind == "full" and (wide := fields.number("global_head_dim", 0)):
        size = wide
        kv_heads = fields.number("num_global_key_value_heads", kv_heads) or kv_heads
    if kv_heads < 1 or kv_heads > heads or heads % kv_heads:
        raise fields.wrong(
            f"`num_attention_heads` {heads} is not divisible by `num_key_value_heads` {kv_heads}"
        )
    return heads, kv_heads, size


def _grouped(
    fields: Fields, name: str, kind: str, model_type: str
) -> tuple[tuple[Matrix, ...], Cache]:
    heads, kv_heads, size = sizes(fields, kind)
    hidden = fields.number("hidden_size")
    value = fields.number("v_head_dim", size) or size
    # A gate on the output doubles the projection of the queries.
    gate = 2 if fields.flag("attn_output_gate", default=model_type == "qwen3_next") else 1
    shares_values = fields.flag("attention_k_eq_v") and kind == "full"
    biased = model_type in _BIASED or any(
        fields.flag(field) for field in ("attention_bias", "qkv_bias", "use_bias", "add_qkv_bias")
    )
    parts = [
        ("q_proj", heads * size * gate, size),
        ("k_proj", kv_heads * size, size),
    ] + ([] if shares_values else [("v_proj", kv_heads * value, value)])
    matrices = [
        Matrix(
            name=f"{name}.{part}",
            rows=rows,
            columns=hidden,
            split="rows",
            least=least,
            quantised=True,
        )
        for part, rows, least in parts
    ]
    matrices.append(
        Matrix(
            name=f"{name}.o_proj",
            rows=hidden,
            columns=heads * value,
            split="columns",
            quantised=True,
        )
    )
    if biased:
        rows = sum(part[1] for part in parts)
        matrices.append(Matrix(name=f"{name}.bias", rows=rows, split="rows"))
    if model_type.startswith(_NORMED):
        matrices.append(Matrix(name=f"{name}.norms", rows=2 * size))
    cache_kind = {"sliding": "sliding", "chunked": "chunked"}.get(kind, "full")
    window = {
        "sliding": fields.number("sliding_window", 0),
        "chunked": fields.number("attention_chunk_size", 0),
    }.get(kind, 0)
    cache = Cache(
        kind=cache_kind,  # type: ignore[arg-type]
        kv_heads=kv_heads,
        width=size + value,
        window=window,
    )
    return tuple(matrices), cache


def _latent(fields: Fields, name: str) -> tuple[tuple[Matrix, ...], Cache]:
    """Return multi-head latent attention: a compressed row per token, shared by all heads."""
    hidden, heads = fields.number("hidden_size"), fields.number("num_attention_heads")
    rank, rope = fields.number("kv_lora_rank"), fields.number("qk_rope_head_dim", 64)
    plain = fields.number("qk_nope_head_dim", 128)
    value = fields.number("v_head_dim", 128)
    low = fields.number("q_lora_rank", 0)
    queries = heads * (plain + rope)

    def linear(part: str, rows: int, columns: int, split: str = "none") -> Matrix:
        return Matrix(
            name=f"{name}.{part}",
            rows=rows,
            columns=columns,
            split=split,  # type: ignore[arg-type]
            quantised=True,
        )

    first = (
        (linear("q_a_proj", low, hidden), linear("q_b_proj", queries, low, "rows"))
        if low
        else (linear("q_proj", queries, hidden, "rows"),)
    )
    matrices = (
        *first,
        linear("kv_a_proj_with_mqa", rank + rope, hidden),
        linear("kv_b_proj", heads * (plain + value), rank, "rows"),
        linear("o_proj", hidden, heads * value, "columns"),
        # After loading vLLM keeps a second copy of kv_b_proj, split into keys and values.
        Matrix(name=f"{name}.absorbed", rows=heads * (plain + value), columns=rank, split="rows"),
    )
    if index := fields.number("index_head_dim", 0):  # the indexer of sparse attention
        index_heads = fields.number("index_n_heads", 64)
        matrices += (
            linear("indexer.wq_b", index_heads * index, low or hidden),
            linear("indexer.wk", index, hidden),
        )
    return matrices, Cache(kind="mla", kv_heads=1, width=rank + rope)


def _delta_net(fields: Fields, name: str) -> tuple[tuple[Matrix, ...], Cache]:
    """Return a gated delta net, the linear attention of Qwen3-Next and Qwen3.5."""
    hidden = fields.number("hidden_size")
    key_heads = fields.number("linear_num_key_heads")
    value_heads = fields.number("linear_num_value_heads")
    key, value = (
        fields.number("linear_key_head_dim", 128),
        fields.number("linear_value_head_dim", 128),
    )
    kernel = fields.number("linear_conv_kernel_dim", 4)
    keys, values = key_heads * key, value_heads * value
    mixed = 2 * keys + values
    matrices = (
        _rows(f"{name}.in_proj_qkvz", mixed + values, hidden),
        Matrix(name=f"{name}.in_proj_ba", rows=2 * value_heads, columns=hidden, split="rows"),
        Matrix(name=f"{name}.conv1d", rows=mixed, columns=kernel, split="rows"),
        _columns(f"{name}.out_proj", hidden, values),
        Matrix(name=f"{name}.norm", rows=value + 2 * value_heads),
    )
    states = ((mixed * (kernel - 1), None), (values * key, _state_bytes(fields)))
    return matrices, Cache(kind="state", states=states, delta=True)


def _mamba2(fields: Fields, name: str) -> tuple[tuple[Matrix, ...], Cache]:
    hidden = fields.number("hidden_size")
    heads = _first(fields, "mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads")
    size = _first(fields, "mamba_d_head", "mamba_head_dim", "head_dim", "mamba_headdim")
    state = _first(fields, "mamba_d_state", "ssm_state_size", "state_size")
    groups = _first(fields, "mamba_n_groups", "n_groups", "mamba_ngroups") or 1
    kernel = _first(fields, "mamba_d_conv", "conv_kernel") or 4
    if not (heads and size and state):
        raise fields.wrong("has state layers whose sizes it does not name")
    inner = heads * size
    mixed = inner + 2 * groups * state
    matrices = (
        _rows(f"{name}.in_proj", inner + mixed + heads, hidden),
        Matrix(name=f"{name}.conv1d", rows=mixed, columns=kernel + 1, split="rows"),
        _columns(f"{name}.out_proj", hidden, inner),
        Matrix(name=f"{name}.norm", rows=inner + 3 * heads, split="rows"),
    )
    states = ((mixed * (kernel - 1), None), (inner * state, _state_bytes(fields)))
    return matrices, Cache(kind="state", states=states)


def _mamba1(fields: Fields, name: str) -> tuple[tuple[Matrix, ...], Cache]:
    hidden = fields.number("hidden_size")
    inner = fields.number("intermediate_size") if fields.find("time_step_rank") else 0
    inner = inner or hidden * (_first(fields, "mamba_expand", "expand") or 2)
    state = _first(fields, "mamba_d_state", "state_size") or 16
    kernel = _first(fields, "mamba_d_conv", "conv_kernel") or 4
    rank = _first(fields, "mamba_dt_rank", "time_step_rank") or math.ceil(hidden / 16)
    matrices = (
        _rows(f"{name}.in_proj", 2 * inner, hidden),
        Matrix(name=f"{name}.conv1d", rows=inner, columns=kernel + 1, split="rows"),
        _columns(f"{name}.x_proj", rank + 2 * state, inner),
        _rows(f"{name}.dt_proj", inner, rank),
        Matrix(name=f"{name}.A", rows=inner, columns=state + 1, split="rows", dtype_bytes=_FLOAT32),
        _columns(f"{name}.out_proj", hidden, inner),
    )
    states = ((inner * (kernel - 1), None), (inner * state, _state_bytes(fields)))
    return matrices, Cache(kind="state", states=states)


def _first(fields: Fields, *names: str) -> int:
    return next((fields.number(name, 0) for name in names if fields.number(name, 0)), 0)


def _state_bytes(fields: Fields) -> int | None:
    """Return the bytes per element of a recurrent state; None: as the served dtype."""
    named = fields.text("mamba_ssm_dtype") or fields.text("mamba_ssm_cache_dtype")
    if not named and fields.text("hybrid_override_pattern"):
        named = "float32"  # vLLM's own default for Nemotron-H
    return _FLOAT32 if named == "float32" else None


def _rows(name: str, rows: int, columns: int) -> Matrix:
    return Matrix(name=name, rows=rows, columns=columns, split="rows", quantised=True)


def _columns(name: str, rows: int, columns: int) -> Matrix:
    return Matrix(name=name, rows=rows, columns=columns, split="columns", quantised=True)
