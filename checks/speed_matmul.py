"""How fast the device multiplies matrices of half precision, and whether one GPU is slower than its like."""

from __future__ import annotations

import statistics
from dataclasses import replace
from functools import partial
from typing import Any

from . import _devices, _numbers, _timing
from ._contract import Check, Context, Needs, Verdict

_SIZES_OF_GPUS, _SIZES_OF_CPUS = (4096, 8192), (1024,)
_BUDGET_S = 0.5
# Healthy GPUs of one node differ by 5 % and more; three times that is no chance.
_OF_ITS_LIKE = 0.85
# TFLOP/s that were published as the best measured; a lower power limit costs a third at most, so half is a fault.
_PUBLISHED = {"A100-SXM4": 271, "H100 80GB HBM3": 794, "H200": 794, "B200": 1745}
_OF_PUBLISHED = 0.5


def body(context: Context) -> Verdict:
    verdict = _devices.on_each(context, _measured, "products measured", at_once=False)
    if not verdict.passed:
        return verdict
    best = {name: float(found["best_tflops"]) for name, found in verdict.evidence["devices"].items()}
    told = "; ".join(f"{name}: {speed:.3g} TFLOP/s" for name, speed in best.items())
    if context.profile == "cpu":
        return replace(verdict, summary=f"{told}; shown, not judged")
    slow = judge(best)
    hint = "look at its clocks, temperature and power limit: nvidia-smi -q -d PERFORMANCE,POWER,TEMPERATURE"
    return replace(verdict, passed=not slow, summary="; ".join(slow) or told, hint=hint if slow else "")


def judge(best: dict[str, float]) -> list[str]:
    """Every GPU that is slow beside its like in this host, or beside what was published."""
    slow = []
    for name, speed in best.items():
        alike = [each for other, each in best.items() if _model(other) == _model(name)]
        usual = statistics.median(alike)
        published = next((each for model, each in _PUBLISHED.items() if model in name and " MIG " not in name), 0)
        if speed < _OF_ITS_LIKE * usual:
            slow.append(f"{name} does {speed:.3g} TFLOP/s, and its like here {usual:.3g}")
        elif speed < _OF_PUBLISHED * published:
            slow.append(f"{name} does {speed:.3g} TFLOP/s, and {published} was published for it")
    return slow


def _model(name: str) -> str:
    return name.partition("(")[2]


def _measured(torch: Any, device: str) -> _devices.Found:
    dtype = _devices.halves(torch, device)[-1]
    sizes, figures = {}, []
    for size in _SIZES_OF_CPUS if device == "cpu" else _SIZES_OF_GPUS:
        left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        time = _timing.timed(torch, device, partial(torch.matmul, left, right), times=50, budget_s=_BUDGET_S)
        speed = _timing.five_digits(2e-6 * size**3 / time.median_us)
        sizes[f"{size} x {size} x {size}"] = {"tflops": speed, **time.evidence()}
        of = {"size": str(size), "precision": _numbers.plain(dtype)}
        figures.append(time.rate("product", 2 * size**3, "TFLOP/s", of))
    best = max(each["tflops"] for each in sizes.values())
    return "", {"precision": str(dtype), "best_tflops": best, "sizes": sizes, "figures": figures}


CHECK = Check(
    name="speed_matmul",
    title="Speed of matrix products",
    proves="no GPU multiplies matrices much slower than its like in this host, or than was published for it",
    step=40,
    weight="should",
    on="environment",
    profile="full",
    deadline_s=300,
    needs=Needs(packages=("torch",), gpus=1),
    body=body,
    every_gpu=True,
)
