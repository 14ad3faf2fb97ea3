"""Changes that make a model fit, or hold more, the smallest first; each is sized anew."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from provision.catalog.rows import Catalogue
from provision.fit import size
from provision.fit._model import Device, Model, Request
from provision.fit.memory import Layout
from provision.fit.size import Sized

_UTILISATION = 0.95
_LESS = 0.9
_MOST_GPUS = 16
_FEWER = (256, 128, 64, 16)
_STEP = 256


def advise(
    model: Model,
    device: Device,
    request: Request,
    version: str,
    catalogue: Catalogue,
    sized: Sized,
) -> list[str]:
    """Return the changes that help, smallest first; none where the model fits."""
    if sized.verdict == "fits":
        return []
    helped = []
    for what, changed, on in _changes(model, device, request, sized):
        layout = on or sized.layout
        wider = replace(device, count=max(device.count, layout.gpus))
        other = size.size(model, wider, changed, version, catalogue, layout)
        if other.verdict == "fits" or (other.verdict == "tight" and sized.verdict != "tight"):
            helped.append(f"{what}: {_gain(other)}")
    if not helped and sized.verdict == "does not fit" and model.quantisation is None:
        helped.append("a variant of this model with 4-bit weights, or a smaller model")
    return helped


Change = tuple[str, Request, Layout | None]


def _changes(model: Model, device: Device, request: Request, sized: Sized) -> Iterator[Change]:
    yield from _smaller(model, request, sized)
    yield from _other_memory(device, request, sized)
    if model.quantisation is None and not request.quantization:
        yield "--quantization fp8", replace(request, quantization="fp8"), None
    yield from _other_gpus(model, device, request, sized)


def _smaller(model: Model, request: Request, sized: Sized) -> Iterator[Change]:
    """Yield fewer requests at once, and a shorter context."""
    settings, low = sized.settings, int(sized.blocks.low)
    if model.has_states and settings.max_num_seqs > low >= 1:
        yield f"--max-num-seqs {low}", replace(request, max_num_seqs=low), None
    if fewer := next((n for n in _FEWER if n < settings.max_num_seqs), 0):
        yield f"--max-num-seqs {fewer}", replace(request, max_num_seqs=fewer), None
    longest = sized.pool.longest(low, model.positions) if sized.pool else 0
    if settings.max_model_len > model.positions:
        longest = model.positions
    shorter = longest // _STEP * _STEP or longest
    if 0 < shorter < settings.max_model_len:
        changed = replace(request, max_model_len=shorter, context=None)
        yield f"--max-model-len {shorter}", changed, None


def _other_memory(device: Device, request: Request, sized: Sized) -> Iterator[Change]:
    settings = sized.settings
    if device.capability and device.capability < (8, 0) and settings.dtype == "bfloat16":
        yield "--dtype half", replace(request, dtype="float16"), None
    if not settings.kv_cache_dtype.startswith("fp8"):
        changed = replace(request, kv_cache_dtype="fp8")
        yield "--kv-cache-dtype fp8 (its accuracy is not judged here)", changed, None
    if settings.utilisation != _UTILISATION:
        other = _UTILISATION if settings.utilisation < _UTILISATION else _LESS
        yield f"--gpu-memory-utilization {other}", replace(request, utilisation=other), None
    if not request.enforce_eager:
        yield "--enforce-eager (slower)", replace(request, enforce_eager=True), None


def _other_gpus(model: Model, device: Device, request: Request, sized: Sized) -> Iterator[Change]:
    """Yield more GPUs, also more than there are, and fewer where a rule refuses so many."""
    tensor = sized.layout.tensor * 2
    while tensor <= max(_MOST_GPUS, device.count):
        if not model.heads or model.heads % tensor == 0:
            where = "" if tensor <= device.count else " of this kind, more than there are"
            yield (
                f"--tensor-parallel-size {tensor}: {tensor} GPUs{where}",
                replace(request, tensor_parallel=tensor),
                Layout(tensor=tensor, pipeline=sized.layout.pipeline),
            )
        tensor *= 2
    if sized.layout.tensor > 1:
        half = sized.layout.tensor // 2
        changed = replace(request, tensor_parallel=half)
        yield f"--tensor-parallel-size {half}", changed, Layout(tensor=half)


def _gain(other: Sized) -> str:
    if other.pool is None:
        return other.verdict
    tokens = other.tokens.likely
    size_of = f"{tokens / 1000:.0f}k" if tokens >= 10_000 else f"{tokens:.0f}"
    return f"{other.verdict}, {size_of} tokens in the KV cache"
