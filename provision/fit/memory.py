"""The memory of one rank: its weights, its activation, CUDA graphs, and the rest for the cache."""

from __future__ import annotations

import msgspec

from provision.catalog.rows import Catalogue
from provision.fit import defaults, overhead, quantisation, weights
from provision.fit._model import GIB, Device, Interval, Model, Quantisation, Request
from provision.fit.defaults import Settings

_NOTHING = Interval.exactly(0.0)


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """A division of a model over GPUs."""

    tensor: int = 1
    pipeline: int = 1
    replicas: int = 1

    @property
    def gpus(self) -> int:
        return self.tensor * self.pipeline * self.replicas

    def __str__(self) -> str:
        parts = [f"TP {self.tensor}"]
        parts += [f"PP {self.pipeline}"] if self.pipeline > 1 else []
        parts += [f"DP {self.replicas}"] if self.replicas > 1 else []
        return " x ".join(parts)


class Rank(msgspec.Struct, frozen=True, kw_only=True):
    """The GiB of one rank of a pipeline stage; `cache` is below zero where the rest exceeds all."""

    budget: float
    weights: Interval
    activation: Interval
    outside: Interval
    graphs: Interval
    cache: Interval


def scheme_of(model: Model, request: Request) -> Quantisation | None:
    """Return the format of the weights: the checkpoint's own, else one applied while loading."""
    if model.quantisation is None and request.quantization:
        return quantisation.named(request.quantization)
    return model.quantisation


def of_rank(
    model: Model,
    device: Device,
    request: Request,
    catalogue: Catalogue,
    layout: Layout,
    settings: Settings,
    scheme: Quantisation | None,
    stage: int,
) -> Rank:
    """Return the memory of a rank of this stage, with the flags of the request."""
    tensor, pipeline = layout.tensor, layout.pipeline
    apart = tensor * layout.replicas if request.expert_parallel else 1
    use = defaults.row(catalogue.memory_use, settings.vllm)
    is_last, vision = stage == pipeline - 1, bool(model.vision) and not request.text_only
    held = weights.of_rank(
        model,
        scheme,
        settings.dtype,
        tensor,
        pipeline,
        stage,
        experts_apart=apart,
        replicas=layout.replicas,
        with_vision=vision,
    )
    if request.loras:
        held += weights.of_adapters(
            model, settings.dtype, request.loras, request.lora_rank, tensor, pipeline, stage
        )
    held = held.minus(Interval.exactly(min(request.offload_gib, held.likely)))
    active = overhead.activation(
        model, settings, use, tensor, is_last=is_last, vision=vision and stage == 0
    )
    layers = len(weights.layers_of(model, pipeline, stage))
    graphs = overhead.graphs(model, request, use, layers, device)
    outside = overhead.outside(device, use, tensor, pipeline)
    if request.unmodelled:  # a flag that takes memory in a way that is not known here
        outside += Interval(low=0.0, likely=0.0, high=0.05 * device.total)
    budget = device.total * settings.utilisation
    taken = held + active + outside + (graphs if settings.graphs_counted else _NOTHING)
    cache = Interval.exactly(budget).minus(taken)
    if request.kv_cache_bytes:
        cache = Interval.exactly(request.kv_cache_bytes / GIB)
    return Rank(
        budget=budget,
        weights=held,
        activation=active,
        outside=outside,
        graphs=graphs,
        cache=cache,
    )
