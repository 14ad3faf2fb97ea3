"""The document of a prediction, and how it is made from a model, a device and a request."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from provision.catalog.rows import Catalogue
from provision.fit import advice, choose, defaults, kv_cache, quantisation, rules, serve
from provision.fit._model import Device, Interval, Model, Request
from provision.fit.choose import Choice
from provision.fit.size import Sized
from provision.plan._model import Rejected

SCHEMA: Final = "vllm-ready/fit/1"
NO_SPEED: Final = "nothing is said of tokens per second: memory decides whether a model runs"


class FitModel(msgspec.Struct, frozen=True, kw_only=True):
    """The model that was sized, and where its config is from."""

    name: str
    architecture: str
    parameters: int
    source: str


class FitHost(msgspec.Struct, frozen=True, kw_only=True):
    """The GPUs that the model is sized for, one name per GPU, and the driver."""

    gpus: tuple[str, ...]
    driver: str | None


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The layout and the settings to serve with."""

    tp: int
    pp: int
    dtype: str
    quantization: str | None
    native: bool
    kv_cache_dtype: str
    attention_backend: str
    max_model_len: int
    max_num_seqs: int
    gpu_memory_utilization: float


class PerGpu(msgspec.Struct, frozen=True, kw_only=True):
    """GiB of the rank or stage with the fewest tokens in its KV cache."""

    total: Interval
    budget: Interval
    weights: Interval
    activation: Interval
    non_torch: Interval
    cuda_graphs: Interval
    kv_cache: Interval


class Concurrency(msgspec.Struct, frozen=True, kw_only=True):
    """The number of requests of this length that the KV cache holds at once."""

    at: int
    value: Interval


class KvCache(msgspec.Struct, frozen=True, kw_only=True):
    """The KV cache in tokens."""

    bytes_per_token: int
    tokens: Interval
    max_context: int
    concurrency: Concurrency


class Proved(msgspec.Struct, frozen=True, kw_only=True):
    """One figure that vLLM printed, beside its prediction."""

    name: str
    predicted: Interval
    measured: float
    within: bool


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The behaviour of vLLM with dummy weights on this host.

    `agrees` says if it is as predicted; null where the proof could not run.
    """

    result: str
    agrees: bool | None
    refused: bool
    figures: tuple[Proved, ...] = ()


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction for one model on one host, with the basis of every figure."""

    schema: Literal["vllm-ready/fit/1"] = SCHEMA
    model: FitModel
    vllm: str
    verdict: Literal["fits", "tight", "does not fit", "refused"]
    host: FitHost
    chosen: Chosen
    per_gpu_gib: PerGpu
    kv: KvCache | None
    serve: tuple[str, ...]
    rejected: tuple[Rejected, ...] = ()
    advice: tuple[str, ...] = ()
    basis: tuple[str, ...] = ()
    proof: Proof | None = None


def make(
    model: Model,
    device: Device,
    request: Request,
    version: str,
    catalogue: Catalogue,
    source: str = "",
    driver: str | None = None,
    revision: str = "",
    said: tuple[str, ...] = (),
) -> Fit:
    """Return the document: choose a layout, size it, and say what it rests on."""
    choice = choose.choose(model, device, request, version, catalogue)
    sized = choice.sized
    verdict = sized.verdict
    _, note = rules.architecture(model, version, catalogue.architectures)
    reasons = sized.reasons
    if verdict == "fits" and model.guessed:
        verdict, reasons = "tight", model.guessed  # what is not known must not read as sure
    too_many = sized.layout.gpus > device.count
    if too_many:
        verdict = "refused"
        reasons = (
            f"{sized.layout} needs {sized.layout.gpus} GPUs, and there are {device.count}",
            *reasons,
        )
    against, doubts = _reasons(str(sized.layout), verdict, reasons)
    hints = advice.advise(model, device, choice.request, version, catalogue, sized)
    return Fit(
        model=FitModel(
            name=model.name,
            architecture=model.architecture,
            parameters=model.parameters,
            source=source,
        ),
        vllm=version,
        verdict=verdict,
        host=FitHost(gpus=() if device.cpu else (device.name,) * device.count, driver=driver),
        chosen=_chosen(model, device, choice, catalogue),
        per_gpu_gib=_per_gpu(sized),
        kv=_kv(model, choice),
        serve=serve.argv(model.name, sized, choice.request, revision, model.positions),
        rejected=(*against, *choice.rejected),
        advice=(*doubts, *hints, *said, *_remarks(model, device, choice, note), NO_SPEED),
        basis=_basis(device, sized, catalogue),
    )


def _reasons(
    layout: str, verdict: str, reasons: tuple[str, ...]
) -> tuple[tuple[Rejected, ...], tuple[str, ...]]:
    """Return the reasons against the chosen layout: rejections, or doubts about a tight one."""
    if verdict in ("refused", "does not fit"):
        return tuple(Rejected(candidate=layout, reason=reason) for reason in reasons), ()
    return (), tuple(f"tight: {reason}" for reason in reasons)


def _chosen(model: Model, device: Device, choice: Choice, catalogue: Catalogue) -> Chosen:
    sized = choice.sized
    settings, scheme = sized.settings, sized.scheme
    return Chosen(
        tp=sized.layout.tensor,
        pp=sized.layout.pipeline,
        dtype=settings.dtype,
        quantization=scheme.method if scheme else None,
        native=sized.native == "native",
        kv_cache_dtype=settings.kv_cache_dtype,
        attention_backend=serve.backend(model, device, sized, catalogue),
        max_model_len=settings.max_model_len,
        max_num_seqs=settings.max_num_seqs,
        gpu_memory_utilization=settings.utilisation,
    )


def _per_gpu(sized: Sized) -> PerGpu:
    return PerGpu(
        total=Interval.exactly(sized.total).rounded(),
        budget=Interval.exactly(sized.rank.budget).rounded(),
        weights=sized.rank.weights.rounded(),
        activation=sized.rank.activation.rounded(),
        non_torch=sized.rank.outside.rounded(),
        cuda_graphs=sized.rank.graphs.rounded(),
        kv_cache=sized.cache.rounded(),
    )


def _kv(model: Model, choice: Choice) -> KvCache | None:
    sized, wanted = choice.sized, choice.request.context
    if sized.pool is None:
        return None
    settings = sized.settings
    at = wanted or settings.max_model_len
    value = Interval(
        low=sized.pool.concurrency(sized.blocks.low, at),
        likely=sized.pool.concurrency(sized.blocks.likely, at),
        high=sized.pool.concurrency(sized.blocks.high, at),
    ).times(sized.layout.replicas)
    return KvCache(
        bytes_per_token=kv_cache.bytes_per_token(
            model, sized.layout.tensor, settings.dtype, settings.kv_cache_dtype
        ),
        tokens=sized.tokens.times(sized.layout.replicas).rounded(0),
        max_context=sized.longest,
        concurrency=Concurrency(at=at, value=value.rounded()),
    )


def _remarks(model: Model, device: Device, choice: Choice, note: str) -> list[str]:
    """Return what a reader should know beside the figures."""
    sized, request = choice.sized, choice.request
    remarks = [note] if note else []
    named = request.quantization
    if named and model.quantisation is None and quantisation.at_load(named) is None:
        remarks.append(f"the config declares no format: the usual form of {named} is assumed")
    if sized.native == "weight-only":
        remarks.append(
            f"{sized.scheme.scheme if sized.scheme else ''} weights run weight-only on"
            f" {device.name}: they save memory, and computing is not faster"
        )
    spare = device.count // max(1, sized.layout.gpus)
    if spare > 1 and sized.verdict in ("fits", "tight") and not request.command:
        remarks.append(f"{spare} replicas of {sized.layout} use all {device.count} GPUs")
    remarks += [f"not known to fit and kept as it is: {word}" for word in request.unknown]
    remarks += [f"takes memory and is not modelled: {word}" for word in request.unmodelled]
    return remarks


def _basis(device: Device, sized: Sized, catalogue: Catalogue) -> tuple[str, ...]:
    settings = sized.settings
    use = defaults.row(catalogue.memory_use, settings.vllm)
    serving = defaults.row(catalogue.serving, settings.vllm)
    counted = " and CUDA graphs" if settings.graphs_counted else ""
    others = f"coefficients from vLLM {use.version} on, {use.basis}"
    tokens = settings.max_num_batched_tokens
    batch = f"max_num_seqs {settings.max_num_seqs}, max_num_batched_tokens {tokens}"
    return (
        f"total: {device.basis}",
        f"budget: gpu_memory_utilization {settings.utilisation:g} of the total",
        "weights: computed from config.json, matrix by matrix",
        f"activation, memory outside PyTorch and graphs: {others}",
        f"defaults: vLLM {serving.version} and newer, {serving.source}",
        f"KV cache: the budget less weights, activation, memory outside PyTorch{counted}",
        f"engine {settings.engine}: {batch}",
    )
