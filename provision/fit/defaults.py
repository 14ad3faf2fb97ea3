"""The defaults of each release of vLLM: engine, batches, rules of the cache."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from packaging.version import Version

from provision.catalog.rows import Catalogue
from provision.catalog.serving import MemoryUse, ServingDefaults
from provision.fit._model import Device, Model, Request
from provision.fit.kv_cache import BLOCK, Rules

R = TypeVar("R", ServingDefaults, MemoryUse)

# V1 came with 0.8.0 and learnt the rest by and by; V0 served it until then.
_FIRST_V1_ONLY = Version("0.10.2")
_FIRST_COMPILED = Version("0.8.3")  # bitsandbytes and offloading
_FIRST_GGUF = Version("0.9.0")
_FIRST_FLOAT32 = Version("0.9.2")
# vLLM refuses these in float16, as numerically unstable.
NOT_IN_FLOAT16 = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4", "plamo2"})
_CPU_BLOCK = 128
_LONG = 32768  # V0 reads longer prompts in parts
_VARIANT_TOKENS = 5120  # V0: the least token budget of a multimodal model


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that a run has in the end: flags of the user, else vLLM's defaults."""

    vllm: str
    engine: str
    dtype: str
    utilisation: float
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_cache_dtype: str
    block: int
    rules: Rules
    graphs_counted: bool
    states_checked: bool


def row(rows: tuple[R, ...], version: str) -> R:
    """Return the row for a release: the last one that is not newer, else the oldest."""
    wanted = Version(version)
    older = [row for row in rows if Version(row.version) <= wanted]
    return max(older, key=lambda row: Version(row.version), default=rows[0])


def settle(
    model: Model,
    device: Device,
    request: Request,
    version: str,
    catalogue: Catalogue,
    tensor: int = 1,
    pipeline: int = 1,
) -> Settings:
    """Return the settings of a run with these flags on this device."""
    defaults = row(catalogue.serving, version)
    engine = _engine(model, device, request, Version(version), defaults)
    length = request.max_model_len or request.context or model.positions
    seqs, tokens = _batches(defaults, device, engine, tensor * pipeline)
    if engine == "V0" and length <= _LONG:
        tokens = max(length, 2048)
    if model.vision and engine == "V0":
        tokens = max(tokens, _VARIANT_TOKENS)
    given_tokens = request.max_num_batched_tokens
    tokens = given_tokens or min(tokens, (request.max_num_seqs or seqs) * length)
    seqs = request.max_num_seqs or min(seqs, tokens)
    caching = request.prefix_caching is not False
    rules = Rules(
        hybrid=defaults.hybrid and engine == "V1",
        in_flight=tokens * _batches_at_once(defaults, device, pipeline),
        state_blocks=defaults.state_blocks if caching else 1,
        null_block=defaults.null_block,
        pad_factor=defaults.pad_factor,
        on_cpu=device.cpu,
    )
    return Settings(
        vllm=version,
        engine=engine,
        dtype=served_dtype(model, device, request),
        utilisation=request.utilisation or defaults.utilisation,
        max_model_len=length,
        max_num_seqs=seqs,
        max_num_batched_tokens=tokens,
        kv_cache_dtype=request.kv_cache_dtype,
        block=request.block_size or (_CPU_BLOCK if device.cpu and not model.is_mla else BLOCK),
        rules=rules,
        graphs_counted=defaults.graphs_counted and not request.enforce_eager and not device.cpu,
        states_checked=defaults.states_checked and not request.enforce_eager and not device.cpu,
    )


def _batches_at_once(defaults: ServingDefaults, device: Device, pipeline: int) -> int:
    """Return how many batches are on their way; a GPU schedules the next one meanwhile."""
    if defaults.in_flight == 1 or device.cpu:
        return 1
    return max(defaults.in_flight, pipeline)


def _engine(
    model: Model, device: Device, request: Request, version: Version, defaults: ServingDefaults
) -> str:
    """Return the engine: releases before 0.11 fall back to V0 for what V1 could not do yet."""
    if defaults.engine == "V0" or version >= _FIRST_V1_ONLY:
        return defaults.engine
    weak = device.capability is not None and device.capability < (8, 0)
    scheme = model.quantisation.method if model.quantisation else request.quantization or ""
    eager_formats = ("gguf", "bitsandbytes") if version < _FIRST_COMPILED else ("gguf",)
    unsupported = scheme in eager_formats and version < _FIRST_GGUF
    floats = request.dtype in ("float32", "float") and version < _FIRST_FLOAT32
    offloads = bool(request.offload_gib) and version < _FIRST_COMPILED
    return "V0" if weak or unsupported or floats or offloads else "V1"


def _batches(defaults: ServingDefaults, device: Device, engine: str, world: int) -> tuple[int, int]:
    """Return max_num_seqs and max_num_batched_tokens of a server."""
    if device.cpu and engine == "V1":
        return 128 * world, 2048 * world
    if engine == "V0" and defaults.engine == "V1":
        return 256, 2048
    name = device.name.lower()
    if defaults.by_name:  # 0.8.0 to 0.8.4 ask for the name, not for the memory
        large = any(word in name for word in defaults.by_name)
        return defaults.batches[0 if large else -1][1:]
    if defaults.small_a100 and "a100" in name:  # slower with large batches, says vLLM
        return defaults.batches[-1][1:]
    return next((seqs, tokens) for least, seqs, tokens in defaults.batches if device.total >= least)


def served_dtype(model: Model, device: Device, request: Request) -> str:
    """Return the dtype that vLLM serves in: a float32 checkpoint is served in half of it."""
    if request.dtype not in ("auto", ""):
        return {"half": "float16", "float": "float32"}.get(request.dtype, request.dtype)
    stored = model.dtype if model.dtype in ("bfloat16", "float16") else "bfloat16"
    weak = device.capability is not None and device.capability < (8, 0)
    if stored == "bfloat16" and weak:
        return "float32" if model.model_type in NOT_IN_FLOAT16 else "float16"
    return stored
