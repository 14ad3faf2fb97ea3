"""One layout of a model on a device: what it takes, what is left for the cache, and the verdict."""

from __future__ import annotations

from typing import Literal

import msgspec
from packaging.version import Version

from provision.catalog.rows import Catalogue
from provision.fit import defaults, kv_cache, memory, quantisation, rules
from provision.fit._model import GIB, Device, Interval, Model, Quantisation, Request
from provision.fit.defaults import Settings
from provision.fit.kv_cache import Pool
from provision.fit.memory import Layout, Rank

Verdict = Literal["fits", "tight", "does not fit", "refused"]

_FIRST_ORACLE = Version("0.19.0")  # the release that chooses kernels of mxfp4 anew
# What the warm-up after the cache is allocated needs beside the logits of one step.
_RESERVE = 0.4


class Sized(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one layout, and the memory of the stage with the fewest tokens."""

    layout: Layout
    settings: Settings
    verdict: Verdict
    reasons: tuple[str, ...]
    native: rules.Native
    scheme: Quantisation | None
    total: float
    rank: Rank
    pool: Pool | None
    stage: int
    blocks: Interval
    longest: int
    concurrency: Interval
    tokens: Interval

    @property
    def cache(self) -> Interval:
        """Return the GiB that the cache gets."""
        return _not_negative(self.rank.cache)

    @property
    def length(self) -> int:
        return self.settings.max_model_len


def size(
    model: Model,
    device: Device,
    request: Request,
    version: str,
    catalogue: Catalogue,
    layout: Layout,
) -> Sized:
    """Return the figures and the verdict of one layout."""
    tensor, pipeline = layout.tensor, layout.pipeline
    settings = defaults.settle(model, device, request, version, catalogue, tensor, pipeline)
    scheme = quantisation.for_release(
        memory.scheme_of(model, request),
        older=Version(version) < _FIRST_ORACLE,
        capability=device.capability,
    )
    ruled = rules.judge(model, scheme, settings, device, request, catalogue, tensor, pipeline)
    pool = (
        None
        if model.encoder
        else kv_cache.pool(
            model,
            settings.rules,
            settings.dtype,
            settings.kv_cache_dtype,
            tensor,
            pipeline,
            settings.block,
        )
    )
    ranks = [
        memory.of_rank(model, device, request, catalogue, layout, settings, scheme, stage)
        for stage in range(pipeline)
    ]
    stage = min(range(pipeline), key=lambda i: _room(ranks[i].cache.likely, pool, i))
    return _judged(
        model, device, request, settings, ruled, scheme, layout, pool, ranks[stage], stage
    )


def _room(free: float, pool: Pool | None, stage: int) -> float:
    """Return what decides which stage has the fewest tokens."""
    if pool is None or not pool.block_bytes[stage]:
        return free if pool is None else float("inf")
    return free / pool.block_bytes[stage]


def _judged(
    model: Model,
    device: Device,
    request: Request,
    settings: Settings,
    ruled: rules.Ruled,
    scheme: Quantisation | None,
    layout: Layout,
    pool: Pool | None,
    rank: Rank,
    stage: int,
) -> Sized:
    cache = _not_negative(rank.cache)
    low, likely, high = (
        pool.blocks(free * GIB, stage) if pool else 0
        for free in (cache.low, cache.likely, cache.high)
    )
    longest = pool.longest(likely, model.positions) if pool else model.positions
    if request.auto_length and longest:
        settings = msgspec.structs.replace(settings, max_model_len=longest)
    needed = pool.per_request(settings.max_model_len) if pool else 0
    reasons, verdict = list(ruled.reasons), "refused" if ruled.reasons else "fits"
    if verdict == "fits":
        verdict, why = _by_memory(
            model, device, request, settings, rank, pool, (low, likely), needed, stage
        )
        reasons += [why] if why else []
    wanted = settings.max_model_len
    by_length = Interval(
        low=pool.concurrency(low, wanted) if pool else 0.0,
        likely=pool.concurrency(likely, wanted) if pool else 0.0,
        high=pool.concurrency(high, wanted) if pool else 0.0,
    )
    return Sized(
        layout=layout,
        settings=settings,
        verdict=verdict,  # type: ignore[arg-type]
        reasons=tuple(reasons),
        native=ruled.native,
        scheme=scheme,
        total=device.total,
        rank=rank,
        pool=pool,
        stage=stage,
        blocks=Interval(low=low, likely=likely, high=high),
        longest=longest,
        concurrency=by_length,
        tokens=by_length.times(wanted),
    )


def _not_negative(value: Interval) -> Interval:
    return Interval(
        low=max(0.0, value.low), likely=max(0.0, value.likely), high=max(0.0, value.high)
    )


def _by_memory(
    model: Model,
    device: Device,
    request: Request,
    settings: Settings,
    rank: Rank,
    pool: Pool | None,
    blocks: tuple[int, int],
    needed: int,
    stage: int,
) -> tuple[Verdict, str]:
    """Return the verdict of a layout that no rule refuses, and its reason unless it fits."""
    low, likely = blocks
    if rank.cache.likely <= 0 and not (
        request.kv_cache_bytes and rank.weights.likely < device.total
    ):
        short = -rank.cache.likely
        return "does not fit", (
            f"weights and activation need {short:.1f} GiB more than the {rank.budget:.1f} GiB"
            " of the budget"
        )
    if pool is None:
        return ("tight", "little is left") if rank.cache.low <= 0 else ("fits", "")
    if model.has_states and settings.max_num_seqs > likely and settings.states_checked:
        return "refused", (
            f"max_num_seqs {settings.max_num_seqs} exceeds the {likely} Mamba cache blocks;"
            f" --max-num-seqs {max(1, low)} or less starts"
        )
    spare = 1 if settings.rules.null_block else 0
    if needed > likely - spare:
        gib = needed * pool.block_bytes[stage] / GIB
        return "does not fit", (
            f"one request of {settings.max_model_len} tokens needs {gib:.2f} GiB of KV cache,"
            f" and {rank.cache.likely:.2f} GiB is left"
        )
    if needed > low - spare:
        return "tight", "the KV cache may be too small for one request of this length"
    graphs = not (request.enforce_eager or device.cpu)
    if model.has_states and settings.max_num_seqs > low and graphs:
        return "tight", f"max_num_seqs {settings.max_num_seqs} is close to the Mamba cache blocks"
    return _margin(model, device, request, settings, rank)


def _margin(
    model: Model, device: Device, request: Request, settings: Settings, rank: Rank
) -> tuple[Verdict, str]:
    """Return whether enough is left outside the budget for what starts after the cache is there."""
    if request.unmodelled:
        return "tight", f"not modelled: {', '.join(request.unmodelled)}"
    if device.cpu:
        return "fits", ""
    # The sampler warms up with the logits of a full batch, twice, when the cache is allocated.
    logits = settings.max_num_seqs * model.vocabulary * 4 / GIB
    graphs = 0.0 if settings.graphs_counted else rank.graphs.high
    need = graphs + 2 * logits + _RESERVE
    left = device.total - rank.budget
    if left < need:
        return "tight", (
            f"{left:.1f} GiB is left outside the budget, and warming up takes about {need:.1f} GiB"
        )
    return "fits", ""
