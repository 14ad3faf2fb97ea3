"""The choice of a layout: the fewest GPUs that serve what was asked, and why not the others."""

from __future__ import annotations

import msgspec

from provision.catalog.rows import Catalogue
from provision.fit import size
from provision.fit._model import Device, Model, Request
from provision.fit.memory import Layout
from provision.fit.size import Sized
from provision.plan._model import Rejected

# Without a wish, a layout should hold this many tokens before a smaller context is offered.
_USEFUL = 32768
_STEP = 256
_ORDER = {"fits": 0, "tight": 1, "does not fit": 2, "refused": 3}


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The layout that was chosen, the request as it is served, and what was rejected."""

    sized: Sized
    request: Request
    rejected: tuple[Rejected, ...]


def choose(
    model: Model, device: Device, request: Request, version: str, catalogue: Catalogue
) -> Choice:
    """Return the layout to serve with; of a command only the layout that it names."""
    tried = [
        _adapted(model, device, request, version, catalogue, layout)
        for layout in layouts(model, device, request)
    ]
    best = min(tried, key=lambda pair: _rank(*pair))
    rejected = tuple(
        Rejected(candidate=str(sized.layout), reason=_against(sized, asked, best[0]))
        for sized, asked in tried
        if sized is not best[0]
    )
    sized = best[0]
    if _shortfall(*best) > 0 and sized.verdict in ("fits", "tight"):
        sized = msgspec.structs.replace(
            sized, verdict="does not fit", reasons=(_too_few(sized, best[1]),)
        )
    return Choice(sized=sized, request=best[1], rejected=rejected)


def _rank(sized: Sized, request: Request) -> tuple[float, ...]:
    """Return what orders layouts: what serves with fewest GPUs, else what comes closest."""
    layout, order = sized.layout, _ORDER[sized.verdict]
    if order > 1:
        return (1, order, -sized.rank.cache.likely, layout.gpus)
    held = sized.concurrency.likely * layout.replicas
    return (float(_shortfall(sized, request) > 0), order, layout.gpus, layout.pipeline, -held)


def layouts(model: Model, device: Device, request: Request) -> list[Layout]:
    """Return the layouts to try: those of the flags, or every division over the GPUs there are."""
    count = max(1, device.count)
    given = request.tensor_parallel, request.pipeline_parallel
    replicas = request.data_parallel or 1
    if request.command or any(given):
        return [Layout(tensor=given[0] or 1, pipeline=given[1] or 1, replicas=replicas)]
    sizes = [n for n in (1, 2, 4, 8, 16) if n <= count]
    possible = [n for n in sizes if not model.heads or model.heads % n == 0]
    result = [Layout(tensor=n, replicas=replicas) for n in possible]
    # Where the heads do not divide, pipeline stages use the GPUs that tensor parallelism cannot.
    result += [
        Layout(tensor=possible[-1], pipeline=n // possible[-1], replicas=replicas)
        for n in range(possible[-1] + 1, count + 1)
        if n % possible[-1] == 0 and n not in possible and n // possible[-1] <= len(model.layers)
    ]
    if request.concurrency and not request.data_parallel:
        result += [
            Layout(tensor=n, replicas=copies)
            for n in possible
            for copies in (2, 4, 8)
            if n * copies <= count
        ]
    return result


def _adapted(
    model: Model,
    device: Device,
    request: Request,
    version: str,
    catalogue: Catalogue,
    layout: Layout,
) -> tuple[Sized, Request]:
    """Size a layout; what the user left to us is lowered until it starts."""
    if request.concurrency and request.max_num_seqs is None:
        probe = size.size(model, device, request, version, catalogue, layout)
        wanted = -(-request.concurrency // layout.replicas)
        if probe.settings.max_num_seqs < wanted:
            request = msgspec.structs.replace(request, max_num_seqs=wanted)
    sized = size.size(model, device, request, version, catalogue, layout)
    if not request.judged and _states_exceed(sized) and request.max_num_seqs is None:
        request = msgspec.structs.replace(request, max_num_seqs=max(1, int(sized.blocks.low)))
        sized = size.size(model, device, request, version, catalogue, layout)
    if not (request.command or request.max_model_len or request.context):
        shorter = _shortened(sized, model)
        if shorter:
            request = msgspec.structs.replace(request, max_model_len=shorter)
            sized = size.size(model, device, request, version, catalogue, layout)
    return sized, request


def _states_exceed(sized: Sized) -> bool:
    return sized.settings.max_num_seqs > sized.blocks.low >= 1 and any(
        "Mamba" in reason for reason in sized.reasons
    )


def _shortened(sized: Sized, model: Model) -> int:
    """Return the context to serve where that of the model is too long for the cache; 0 for none."""
    if sized.verdict not in ("does not fit", "tight") or sized.pool is None:
        return 0
    longest = sized.pool.longest(int(sized.blocks.low), model.positions)
    enough = min(_USEFUL, model.positions)
    if longest >= model.positions or longest < min(enough, 1024):
        return 0
    return longest // _STEP * _STEP or longest


def _shortfall(sized: Sized, request: Request) -> float:
    """Return how many requests are missing from those that were asked for at once."""
    if not request.concurrency or sized.pool is None:
        return 0.0
    return request.concurrency - sized.concurrency.likely * sized.layout.replicas


def _too_few(sized: Sized, request: Request) -> str:
    held = sized.concurrency.likely * sized.layout.replicas
    return (
        f"holds {held:.1f} requests of {sized.settings.max_model_len} tokens at once,"
        f" and {request.concurrency} are wanted"
    )


def _against(sized: Sized, request: Request, chosen: Sized) -> str:
    if _shortfall(sized, request) > 0 and sized.verdict in ("fits", "tight"):
        return _too_few(sized, request)
    if sized.verdict in ("refused", "does not fit", "tight") and sized.reasons:
        return "; ".join(sized.reasons)
    if sized.length < chosen.length:
        return f"a context of {sized.length} tokens, and {chosen.length} with {chosen.layout}"
    ratio = sized.tokens.likely * sized.layout.replicas
    ratio /= max(1.0, chosen.tokens.likely * chosen.layout.replicas)
    return f"{sized.layout.gpus} GPUs; it holds {ratio:.1f} times as many KV tokens"
