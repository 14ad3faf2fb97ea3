"""Measures products of half precision, and compares GPUs with peers and published values."""

from __future__ import annotations

import statistics
from dataclasses import replace
from functools import partial
from typing import Any

from . import _devices, _numbers, _timing
from ._contract import Check, Context, Needs, Verdict

_GPU_SIZES, _CPU_SIZES = (4096, 8192), (1024,)
_BUDGET_S = 0.5
# Healthy GPUs of one node differ by 5 % and more; three times that is no coincidence.
_LEAST_OF_PEERS = 0.85
# TFLOP/s that were published as the best measured. A lower power limit costs at most a third, so
# half is a fault.
_PUBLISHED = {"A100-SXM4": 271, "H100 80GB HBM3": 794, "H200": 794, "B200": 1745}
_LEAST_OF_PUBLISHED = 0.5
_HINT = (
    "look at its clocks, temperature and power limit: "
    "nvidia-smi -q -d PERFORMANCE,POWER,TEMPERATURE"
)


def body(context: Context) -> Verdict:
    verdict = _devices.try_on_each(context, _measure, "products measured", at_once=False)
    if not verdict.passed:
        return verdict
    best = {
        name: float(evidence["best_tflops"])
        for name, evidence in verdict.evidence["devices"].items()
    }
    summary = "; ".join(f"{name}: {speed:.3g} TFLOP/s" for name, speed in best.items())
    if context.profile == "cpu":
        return replace(verdict, summary=f"{summary}; shown, not judged")
    if problems := judge(best):
        return replace(verdict, passed=False, summary="; ".join(problems), hint=_HINT)
    return replace(verdict, summary=summary)


def judge(best: dict[str, float]) -> list[str]:
    """Return a problem for each GPU that is slow beside its peers or the published value."""
    problems = []
    for name, speed in best.items():
        median = statistics.median(
            [other for key, other in best.items() if _model(key) == _model(name)]
        )
        whole = " MIG " not in name  # a slice is no whole GPU
        published = next(
            (value for model, value in _PUBLISHED.items() if whole and model in name), 0
        )
        if speed < _LEAST_OF_PEERS * median:
            problems.append(f"{name} does {speed:.3g} TFLOP/s, and its peers here {median:.3g}")
        elif speed < _LEAST_OF_PUBLISHED * published:
            problems.append(
                f"{name} does {speed:.3g} TFLOP/s, and {published} was published for it"
            )
    return problems


def _model(name: str) -> str:
    return name.partition("(")[2]


def _measure(torch: Any, device: str) -> _devices.DeviceResult:
    dtype = _devices.half_precisions(torch, device)[-1]
    sizes, figures = {}, []
    for size in _CPU_SIZES if device == "cpu" else _GPU_SIZES:
        left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        timing = _timing.measure(
            torch, device, partial(torch.matmul, left, right), times=50, budget_s=_BUDGET_S
        )
        speed = _timing.five_digits(2e-6 * size**3 / timing.median_us)
        sizes[f"{size} x {size} x {size}"] = {"tflops": speed, **timing.evidence()}
        figures.append(
            timing.rate(
                "product",
                2 * size**3,
                "TFLOP/s",
                {"size": str(size), "precision": _numbers.dtype_name(dtype)},
            )
        )
    return "", {
        "precision": str(dtype),
        "best_tflops": max(row["tflops"] for row in sizes.values()),
        "sizes": sizes,
        "figures": figures,
    }


CHECK = Check(
    title="Speed of matrix products",
    proves="no GPU multiplies matrices much slower than its peers in this host, or than published",
    step=40,
    weight="should",
    profile="full",
    needs=Needs(packages=("torch",), gpus=1),
    body=body,
    every_gpu=True,
)
