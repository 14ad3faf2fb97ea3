"""Memory beside weights and cache: activation, what is outside PyTorch, and CUDA graphs."""

from __future__ import annotations

from provision.catalog.serving import MemoryUse
from provision.fit._model import GIB, Device, Interval, Model, Request
from provision.fit.defaults import Settings
from provision.fit.weights import BYTES

# A vision tower is profiled with its largest input; what that takes differs much.
_VISION = Interval(low=0.0, likely=0.15, high=0.6)


def activation(
    model: Model, settings: Settings, use: MemoryUse, tensor: int, *, is_last: bool, vision: bool
) -> Interval:
    """Return the peak of the profile run on a rank of the last stage, or of an earlier one."""
    width = BYTES.get(settings.dtype, 2)
    tokens = settings.max_num_batched_tokens
    logits = settings.max_num_seqs * model.vocabulary * 4 / GIB if is_last else 0.0
    hidden = tokens * model.hidden * width / GIB
    sampled = use.logits * logits + use.tokens * hidden + use.constant
    if model.pooling:  # no sampler
        sampled = use.constant
    # Without a sampler, and with long batches, the feed-forward part of one layer is the peak.
    inner = tokens * (3 * _inner_size(model, use) // tensor + 4 * model.hidden) * width / GIB
    likely = max(sampled, inner) + use.experts * _work_space(model, settings, tensor)
    result = Interval.around(likely, use.spread + 0.04 * likely)
    return result + _VISION if vision else result


def _inner_size(model: Model, use: MemoryUse) -> int:
    """Return the inner size that a token passes through; work space that is kept counts apart."""
    if model.experts is None:
        return model.intermediate
    return 0 if use.experts else model.experts.intermediate * model.experts.per_token


def _work_space(model: Model, settings: Settings, tensor: int) -> float:
    """Return what the experts of a layer write for a whole batch; vLLM keeps it for the next."""
    mixture = model.experts
    if mixture is None or (model.quantisation and model.quantisation.scheme == "mxfp4"):
        return 0.0  # the kernels of mxfp4 have their own, which the sampler's peak covers
    inner = mixture.intermediate // tensor
    rows = settings.max_num_batched_tokens * mixture.per_token
    width = BYTES.get(settings.dtype, 2)
    return rows * (max(2 * inner, model.hidden) + inner) * width / GIB


def outside(device: Device, use: MemoryUse, tensor: int, pipeline: int) -> Interval:
    """Return the memory outside PyTorch: context, NCCL, the buffers of all-reduce."""
    if device.cpu:
        return Interval.around(0.3, 0.3)
    if tensor > 1:
        likely = use.linked if device.nvlink else use.unlinked
        return Interval.around(likely, use.spread_outside + 0.25 * likely)
    likely = use.alone if pipeline == 1 else use.staged
    return Interval.around(likely, use.spread_outside)


def graphs(model: Model, request: Request, use: MemoryUse, layers: int, device: Device) -> Interval:
    """Return what captured CUDA graphs take; nothing in eager mode."""
    if request.enforce_eager or device.cpu or model.pooling:
        return Interval.exactly(0.0)
    dense = Interval.around(use.graph + use.graph_layer * layers, use.spread_graph)
    if model.experts is None:
        return dense
    return dense + Interval.around(use.graph_experts, use.graph_experts)
