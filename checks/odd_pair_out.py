"""Whether one pair of GPUs copies far more slowly than the other pairs that are joined in the same way."""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import partial
from typing import Any

from . import _devices, _pairs, _timing
from ._contract import Check, Context, Needs, Verdict, whole

_BYTES = 2**27
# Argued, not measured: half the lanes, or a generation less, is half the speed; pairs alike do not differ by a quarter.
_LEAST = 0.75


def body(context: Context) -> Verdict:
    torch: Any = importlib.import_module("torch")
    gpus = whole(context.gpus)
    links = _pairs.links(context.facts, gpus)
    rates: dict[_pairs.Pair, float] = {}
    figures, method = [], ""
    with _devices.room():
        for source, destination in _pairs.pairs(len(gpus)):
            given, taken = (
                torch.ones(_BYTES, dtype=torch.uint8, device=f"cuda:{number}") for number in (source, destination)
            )
            # Torch queues a copy between GPUs on the stream of the one that sends, and there it is timed.
            found = _timing.timed(torch, f"cuda:{source}", partial(taken.copy_, given), times=7, cold=False)
            rates[source, destination] = _BYTES / found.median_us / 1000
            of = {
                "from": f"GPU {source}",
                "to": f"GPU {destination}",
                "link": links.get((source, destination), "unknown"),
            }
            figures.append(found.rate("peer copy", _BYTES, "GB/s", of))
            method = found.method
    return replace(judged(rates, links, method), figures=tuple(figures), gpus=gpus)


def judged(rates: dict[_pairs.Pair, float], links: dict[_pairs.Pair, str], method: str) -> Verdict:
    """Pairs of which the recording tells no link are of one kind."""
    told = [
        {"pair": _pairs.name(pair), "link": links.get(pair), "gb_per_s": round(rate, 1)} for pair, rate in rates.items()
    ]
    evidence = {"pairs": told, "method": f"{_BYTES >> 20} MiB from GPU to GPU, one pair at a time; {method}"}
    slow = _timing.slow(rates, links, _LEAST)
    if slow:
        texts = [
            f"{_pairs.name(pair)}: {rates[pair]:.0f} GB/s over {links.get(pair, 'an unknown link')}, "
            f"the others {median:.0f}"
            for pair, median in slow.items()
        ]
        more = f"; and {len(texts) - 3} more" if len(texts) > 3 else ""
        return Verdict(passed=False, summary="; ".join(texts[:3]) + more, evidence=evidence, hint=_HINT)
    kinds = sorted({links.get(pair, "") for pair in rates})
    ranges = [_range(kind, [rate for pair, rate in rates.items() if links.get(pair, "") == kind]) for kind in kinds]
    return Verdict(passed=True, summary=f"no pair is far slower than its like: {', '.join(ranges)}", evidence=evidence)


_HINT = "nvidia-smi topo -m and nvidia-smi nvlink -s show links that are down; nvidia-smi -q the width of PCIe"


def _range(kind: str, rates: list[float]) -> str:
    return f"{kind or 'links unknown'} {min(rates):.0f} to {max(rates):.0f} GB/s"


CHECK = Check(
    name="odd_pair_out",
    title="No slow pair of GPUs",
    proves="no pair of GPUs copies far more slowly than the others that are joined in the same way",
    step=40,
    weight="should",
    on="environment",
    profile="full",
    deadline_s=300,
    needs=Needs(packages=("torch",), profile="cuda", gpus=2),
    body=body,
    every_gpu=True,
)
