"""Measures how fast all GPUs sum up together, and compares with machines of the same make."""

from __future__ import annotations

import re
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import _host, _pairs, _ranks, _timing
from ._contract import Check, Context, Figure, Needs, Verdict, whole_gpus

_GIB = 2**30
_SIZES = (_GIB // 4, _GIB, 4 * _GIB, 16 * _GIB)
# Below this size latency still shows, and a pass mark for 16 GB would be unfair.
_LARGE = 4 * _GIB

# GB/s of bus bandwidth with messages of 16 GB: the GPU's name, the number of GPUs, and the pass
# mark. They hold for NVLink only.
_MARKS = (
    (r"H100 80GB HBM3|H100 SXM", 8, 460.0),
    (r"H200$", 8, 431.0),
    (r"A100-SXM4", 8, 228.0),
    (r"H100 NVL", 2, 208.0),
    (r"A100", 2, 193.0),
)
_BAND = 0.05  # healthy machines of one make differ by some percent
_METHOD = (
    "float32, in place, 5 to warm up, median of 20 in a row between CUDA events, "
    "of the slowest rank; busbw = algbw * 2(n-1)/n"
)


def body(context: Context) -> Verdict:
    gpus = whole_gpus(context.gpus)
    request = {"backend": "nccl", "count": len(gpus), "sizes": list(_SIZES)}
    run = _ranks.run_group(request, Path(context.scratch) / "speed", {})
    if run.outcome != "healthy":
        return Verdict(
            passed=False,
            summary=run.problem,
            evidence={"try": run.evidence()},
            hint="see collectives",
            gpus=gpus,
        )
    times = slowest(run.messages)
    return replace(
        judge(rows(times, len(gpus)), machine(context, gpus)),
        figures=tuple(_figure(size, samples, len(gpus)) for size, samples in times.items()),
        gpus=gpus,
    )


def slowest(messages: list[_ranks.Messages]) -> dict[int, list[float]]:
    """Return the microseconds of each size that all ranks measured.

    The rank with the largest median decides: the others wait for it.
    """
    by_rank = [
        {message["size"]: message["times_us"] for message in own if "size" in message}
        for own in messages
    ]
    sizes = sorted(set.intersection(*map(set, by_rank)))
    return {size: max((times[size] for times in by_rank), key=statistics.median) for size in sizes}


def _figure(size: int, samples: list[float], count: int) -> Figure:
    bandwidths = [busbw(size, sample, count) for sample in samples]
    return _timing.figure(
        "all-reduce", bandwidths, "GB/s", of={"size": f"{size / _GIB:g} GiB"}, method=_METHOD
    )


def rows(times: dict[int, list[float]], count: int) -> list[dict[str, Any]]:
    rows = []
    for size, samples in times.items():
        tenths = statistics.quantiles(samples, n=10, method="inclusive")
        median = statistics.median(samples)
        rows.append(
            {
                "bytes": size,
                "median_us": round(median, 1),
                "spread": round((tenths[-1] - tenths[0]) / median, 3),
                "algbw_gb_per_s": round(size / median / 1000, 2),
                "busbw_gb_per_s": round(busbw(size, median, count), 2),
            }
        )
    return rows


def busbw(size: int, microseconds: float, count: int) -> float:
    """Return bus bandwidth as nccl-tests defines it, comparable with the speed of a link."""
    # The result can exceed the speed of the wire: with NVLS the switches do the sums, and less
    # data crosses each link than this formula counts.
    return size / microseconds / 1000 * 2 * (count - 1) / count


def machine(context: Context, gpus: tuple[str, ...]) -> tuple[str, int, bool]:
    """Return the common name of the GPUs or "", their number, and whether NVLink joins all."""
    listed = _host.optional_fact(context.facts, "gpus") or []
    names = {gpu["name"] for gpu in listed if gpu["id"] in gpus}
    links = _pairs.links(context.facts, gpus)
    nvlink = all(links.get(pair, "").startswith("NV") for pair in _pairs.pairs(len(gpus)))
    return names.pop() if len(names) == 1 else "", len(gpus), nvlink


def judge(rows: list[dict[str, Any]], machine: tuple[str, int, bool]) -> Verdict:
    name, count, nvlink = machine
    evidence: dict[str, Any] = {"sizes": rows, "method": _METHOD}
    if not rows:
        return Verdict(
            passed=False,
            summary=f"no GPU has {2 * _SIZES[0] >> 20} MiB free to try it",
            evidence=evidence,
        )
    largest = rows[-1]
    bandwidth, size = largest["busbw_gb_per_s"], f"{largest['bytes'] / _GIB:g} GiB"
    measured = f"all-reduce of {size} on {count} GPUs: {bandwidth:.0f} GB/s of bus bandwidth"
    marks = (
        mark
        for pattern, number, mark in _MARKS
        if nvlink and count == number and re.search(pattern, name)
    )
    mark = next(marks, None)
    if mark is None or largest["bytes"] < _LARGE:
        unknown = "the usual speed of such a machine is not known"
        small = "the largest message that was tried is too small to judge it"
        summary = f"{measured}; {unknown if mark is None else small}"
        return Verdict(passed=True, summary=summary, evidence=evidence)
    evidence["pass_mark_gb_per_s"] = mark
    if bandwidth >= mark * (1 - _BAND):
        return Verdict(passed=True, summary=f"{measured}; {mark:.0f} are usual", evidence=evidence)
    return Verdict(
        passed=False,
        summary=f"{measured}, and {mark:.0f} are usual for {count} x {name}",
        evidence=evidence,
        hint=(
            "see odd_pair_out for a slow link; "
            "NCCL_DEBUG=INFO says which transport and algorithm NCCL took"
        ),
    )


CHECK = Check(
    title="Speed of GPUs together",
    proves="all-reduce of large messages is as fast as on machines of this make, if that is known",
    step=40,
    weight="should",
    profile="full",
    deadline_s=600,
    needs=Needs(packages=("torch",), profile="cuda", gpus=2),
    body=body,
    every_gpu=True,
)
