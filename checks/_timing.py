"""How long a call takes on a device: warmed up, with cold caches, as a median with its spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_WARM_UP, _FEWEST, _MOST = 3, 5, 50
_FLUSHED_BYTES = 512 * 2**20  # several times the largest L2 cache, of 126 MB


@dataclass(frozen=True)
class Taken:
    """Seconds; `spread` is from the tenth to the ninetieth percentile, as a part of the median."""

    median_s: float
    spread: float
    times: int


def taken(torch: Any, device: str, call: Callable[[], Any], budget_s: float) -> Taken:
    """As often as the budget allows, at least a few times."""
    clock = _on_cpu if device == "cpu" else _on_gpu(torch, device)
    for _ in range(_WARM_UP):
        once = clock(call)
    times = max(_FEWEST, min(_MOST, int(budget_s / max(once, 1e-6))))
    seconds = [clock(call) for _ in range(times)]
    median, tenths = statistics.median(seconds), statistics.quantiles(seconds, n=10)
    return Taken(median_s=median, spread=round((tenths[-1] - tenths[0]) / median, 3), times=times)


def method(device: str) -> str:
    how = "perf_counter" if device == "cpu" else "CUDA events around each call, the L2 cache overwritten before it"
    return f"{how}; {_WARM_UP} calls to warm up, then the median of {_FEWEST} to {_MOST}"


def _on_cpu(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _on_gpu(torch: Any, device: str) -> Callable[[Callable[[], Any]], float]:
    flushed = torch.empty(_FLUSHED_BYTES, dtype=torch.int8, device=device)

    def clock(call: Callable[[], Any]) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        flushed.zero_()
        begin.record()
        call()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1000

    return clock
