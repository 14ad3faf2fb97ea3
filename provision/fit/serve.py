"""The `vllm serve` command of a choice, and the attention backend that vLLM takes for it."""

from __future__ import annotations

from provision.catalog.rows import Catalogue
from provision.fit._model import Device, Model, Request
from provision.fit.size import Sized
from provision.plan.versions import allows


def argv(
    model: str, sized: Sized, request: Request, revision: str = "", defaults_of: int = 0
) -> tuple[str, ...]:
    """Return the words of the command; what vLLM does by itself is left out.

    `defaults_of` is the context that the model has by itself.
    """
    words = ["vllm", "serve", model]
    words += ["--revision", revision] if revision else []
    layout = sized.layout
    for flag, value in (
        ("--tensor-parallel-size", layout.tensor),
        ("--pipeline-parallel-size", layout.pipeline),
        ("--data-parallel-size", layout.replicas),
    ):
        words += [flag, str(value)] if value > 1 else []
    words += ["--enable-expert-parallel"] if request.expert_parallel else []
    settings = sized.settings
    if settings.max_model_len != defaults_of:
        words += ["--max-model-len", str(settings.max_model_len)]
    if request.utilisation:
        words += ["--gpu-memory-utilization", f"{request.utilisation:g}"]
    for flag, number in (
        ("--max-num-seqs", request.max_num_seqs),
        ("--max-num-batched-tokens", request.max_num_batched_tokens),
        ("--block-size", request.block_size),
        ("--kv-cache-memory-bytes", request.kv_cache_bytes),
    ):
        words += [flag, str(number)] if number else []
    words += (
        ["--kv-cache-dtype", request.kv_cache_dtype] if request.kv_cache_dtype != "auto" else []
    )
    words += ["--quantization", request.quantization] if request.quantization else []
    if request.dtype != "auto":
        words += ["--dtype", request.dtype]
    if request.loras:
        words += ["--enable-lora", "--max-loras", str(request.loras)]
        words += ["--max-lora-rank", str(request.lora_rank)]
    words += ["--cpu-offload-gb", f"{request.offload_gib:g}"] if request.offload_gib else []
    words += ["--enforce-eager"] if request.enforce_eager else []
    if request.prefix_caching is not None:
        words.append(
            "--enable-prefix-caching" if request.prefix_caching else "--no-enable-prefix-caching"
        )
    return (*words, *request.kept)


def backend(model: Model, device: Device, sized: Sized, catalogue: Catalogue) -> str:
    """Return the attention backend, by the same order of the release as in a plan."""
    if device.cpu:
        return "CPU_ATTN"
    if device.cc is None or not model.heads:
        return ""
    if model.is_mla:
        if device.cc.startswith("9."):
            return "FLASH_ATTN_MLA"
        return "CUTLASS_MLA" if device.cc.startswith("10.") else "TRITON_MLA"
    generation = device.cc.partition(".")[0]
    first = next(
        (
            rule.value
            for rule in catalogue.rules
            if rule.kind == "attention"
            and {device.cc, generation} & {*rule.cc}
            and allows(rule.versions, sized.settings.vllm)
        ),
        "",
    )
    takes = model.head_size % 8 == 0 and model.head_size <= 256
    eight_bit = sized.settings.kv_cache_dtype.startswith("fp8") and generation != "9"
    if first == "FLASH_ATTN" and (not takes or eight_bit):
        return "FLASHINFER" if eight_bit and takes else "TRITON_ATTN"
    return first
