"""How fast all GPUs sum up together, against what machines of the same make reach."""

from __future__ import annotations

import re
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import _pairs, _ranks, _timing
from ._contract import Check, Context, Figure, Needs, Verdict, whole

_GIB = 2**30
_SIZES = (_GIB // 4, _GIB, 4 * _GIB, 16 * _GIB)
_LARGE = 4 * _GIB  # below, the time to begin still shows, and a pass mark for 16 GB would be unfair

# GB/s of bus bandwidth with messages of 16 GB: the GPU's name, how many, and the mark. They hold for NVLink only.
_MARKS = (
    (r"H100 80GB HBM3|H100 SXM", 8, 460.0),
    (r"H200$", 8, 431.0),
    (r"A100-SXM4", 8, 228.0),
    (r"H100 NVL", 2, 208.0),
    (r"A100", 2, 193.0),
)
_BAND = 0.05


def body(context: Context) -> Verdict:
    gpus = whole(context.gpus)
    asked = {"backend": "nccl", "count": len(gpus), "sizes": list(_SIZES)}
    tried = _ranks.go(asked, Path(context.scratch) / "speed", {})
    if tried.how != "healthy":
        evidence = {"try": tried.evidence()}
        return Verdict(passed=False, summary=tried.what, evidence=evidence, hint="see collectives", gpus=gpus)
    times = slowest(tried.said)
    figures = [_figure(size, took, len(gpus)) for size, took in times.items()]
    return replace(judged(rows(times, len(gpus)), machine(context, gpus)), figures=tuple(figures), gpus=gpus)


def slowest(said: list[list[dict[str, Any]]]) -> dict[int, list[float]]:
    """Microseconds by size: the slowest rank's, by its median, are the time of all."""
    by_rank = [{word["size"]: word["times_us"] for word in words if "size" in word} for words in said]
    sizes = sorted(set.intersection(*(set(each) for each in by_rank)))
    return {size: max((each[size] for each in by_rank), key=statistics.median) for size in sizes}


def _figure(size: int, took: list[float], count: int) -> Figure:
    bandwidths = [busbw(size, each, count) for each in took]
    return _timing.figure("all-reduce", bandwidths, "GB/s", of={"size": f"{size / _GIB:g} GiB"}, method=_METHOD)


def rows(took: dict[int, list[float]], count: int) -> list[dict[str, Any]]:
    found = []
    for size, times in took.items():
        tenths = statistics.quantiles(times, n=10, method="inclusive")
        median = statistics.median(times)
        found.append(
            {
                "bytes": size,
                "median_us": round(median, 1),
                "spread": round((tenths[-1] - tenths[0]) / median, 3),
                "algbw_gb_per_s": round(size / median / 1000, 2),
                "busbw_gb_per_s": round(busbw(size, median, count), 2),
            }
        )
    return found


def busbw(size: int, microseconds: float, count: int) -> float:
    """As nccl-tests has it: what each link must carry whatever the number of GPUs, comparable with its speed.

    Above the wire is possible: with NVLS the switches do the sums, and less crosses each link than this counts.
    """
    return size / microseconds / 1000 * 2 * (count - 1) / count


def machine(context: Context, gpus: tuple[str, ...]) -> tuple[str, int, bool]:
    """The GPUs' name where all have one, how many, and whether NVLink joins every two of them."""
    recorded = context.facts.get("gpus")
    listed = recorded if isinstance(recorded, list) else []
    names = {each["name"] for each in listed if each["id"] in gpus}
    links = _pairs.links(context.facts, gpus)
    joined = all(links.get(pair, "").startswith("NV") for pair in _pairs.pairs(len(gpus)))
    return names.pop() if len(names) == 1 else "", len(gpus), joined


def judged(rows: list[dict[str, Any]], known: tuple[str, int, bool]) -> Verdict:
    name, count, nvlink = known
    evidence: dict[str, Any] = {"sizes": rows, "method": _METHOD}
    if not rows:
        return Verdict(passed=False, summary=f"no GPU has {2 * _SIZES[0] >> 20} MiB free to try it", evidence=evidence)
    best = rows[-1]
    bandwidth, of = best["busbw_gb_per_s"], f"{best['bytes'] / _GIB:g} GiB"
    said = f"all-reduce of {of} on {count} GPUs: {bandwidth:.0f} GB/s of bus bandwidth"
    mark = next((mark for names, many, mark in _MARKS if nvlink and count == many and re.search(names, name)), None)
    if mark is None or best["bytes"] < _LARGE:
        why = (
            "nobody knows what is usual here"
            if mark is None
            else "the largest message that was tried is too small to judge it"
        )
        return Verdict(passed=True, summary=f"{said}; {why}", evidence=evidence)
    evidence["pass_mark_gb_per_s"] = mark
    if bandwidth < mark * (1 - _BAND):
        hint = "see odd_pair_out for a slow link; NCCL_DEBUG=INFO says which transport and algorithm NCCL took"
        summary = f"{said}, and {mark:.0f} are usual for {count} x {name}"
        return Verdict(passed=False, summary=summary, evidence=evidence, hint=hint)
    return Verdict(passed=True, summary=f"{said}; {mark:.0f} are usual", evidence=evidence)


_METHOD = (
    "float32, in place, 5 to warm up, median of 20 in a row between CUDA events, of the slowest rank; "
    "busbw = algbw * 2(n-1)/n"
)


CHECK = Check(
    name="collective_speed",
    title="Speed of GPUs together",
    proves="all-reduce of large messages is as fast as machines of this make are, where that is known",
    step=40,
    weight="should",
    on="environment",
    profile="full",
    deadline_s=600,
    needs=Needs(packages=("torch",), profile="cuda", gpus=2),
    body=body,
    every_gpu=True,
)
