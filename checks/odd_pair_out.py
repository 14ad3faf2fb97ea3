"""Checks that no pair of GPUs copies far more slowly than the other pairs with the same link."""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import partial
from typing import Any

from . import _devices, _pairs, _timing
from ._contract import Check, Context, Needs, Verdict, whole_gpus
from ._host import first_of

_BYTES = 2**27
# Argued, not measured: half the lanes, or a lower generation, is half the speed, and equal pairs
# do not differ by a quarter.
_LEAST = 0.75
_HINT = (
    "nvidia-smi topo -m and nvidia-smi nvlink -s show links that are down; "
    "nvidia-smi -q the width of PCIe"
)


def body(context: Context) -> Verdict:
    torch: Any = importlib.import_module("torch")
    gpus = whole_gpus(context.gpus)
    links = _pairs.links(context.facts, gpus)
    rates: dict[_pairs.Pair, float] = {}
    figures, method = [], ""
    with _devices.errors_if_full():
        for pair in _pairs.pairs(len(gpus)):
            timing = _measure(torch, *pair)
            rates[pair] = _BYTES / timing.median_us / 1000
            source, destination = (f"GPU {number}" for number in pair)
            figures.append(
                timing.rate(
                    "peer copy",
                    _BYTES,
                    "GB/s",
                    {"from": source, "to": destination, "link": links.get(pair, "unknown")},
                )
            )
            method = timing.method
    return replace(judge(rates, links, method), figures=tuple(figures), gpus=gpus)


def _measure(torch: Any, source: int, destination: int) -> _timing.Timing:
    sent, received = (
        torch.ones(_BYTES, dtype=torch.uint8, device=f"cuda:{number}")
        for number in (source, destination)
    )
    # torch queues a copy between GPUs on the stream of the sender, so it is timed there.
    return _timing.measure(
        torch, f"cuda:{source}", partial(received.copy_, sent), times=7, cold=False
    )


def judge(rates: dict[_pairs.Pair, float], links: dict[_pairs.Pair, str], method: str) -> Verdict:
    """Compare the pairs of each kind of link; of an unknown link, its two directions."""
    evidence = {
        "pairs": [
            {"pair": _pairs.name(pair), "link": links.get(pair), "gb_per_s": round(rate, 1)}
            for pair, rate in rates.items()
        ],
        "method": f"{_BYTES >> 20} MiB from GPU to GPU, one pair at a time; {method}",
    }
    # Of two pairs with unknown links, one may be on a bridge and the other across sockets.
    kinds = {pair: links.get(pair) or str(sorted(pair)) for pair in rates}
    problems = [
        f"{_pairs.name(pair)}: {rates[pair]:.0f} GB/s over {links.get(pair, 'an unknown link')}, "
        f"the others {median:.0f}"
        for pair, median in _timing.slower_than_peers(rates, kinds, _LEAST).items()
    ]
    ranges = [
        _range(kind, [rate for pair, rate in rates.items() if links.get(pair, "") == kind])
        for kind in sorted({links.get(pair, "") for pair in rates})
    ]
    return Verdict(
        passed=not problems,
        summary=first_of(problems) or f"no pair is far slower than its peers: {', '.join(ranges)}",
        evidence=evidence,
        hint=_HINT if problems else "",
    )


def _range(kind: str, rates: list[float]) -> str:
    return f"{kind or 'links unknown'} {min(rates):.0f} to {max(rates):.0f} GB/s"


CHECK = Check(
    title="No slow pair of GPUs",
    proves="no pair of GPUs copies far more slowly than the others with the same link",
    step=40,
    weight="should",
    profile="full",
    needs=Needs(packages=("torch",), profile="cuda", gpus=2),
    body=body,
    every_gpu=True,
)
