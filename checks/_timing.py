"""How long something takes on a device: after a warm-up, each time out of a cold cache; the median and the spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

_COLD = 256 * 2**20  # more than the last cache of any GPU of today holds
_LONG = "the last cache overwritten before each"


def timed(
    torch: Any, device: str, function: Callable[[], Any], *, times: int = 20, warm_up: int = 5, cold: bool = True
) -> dict[str, Any]:
    """`cold`: nothing of the last time is left in the cache. The spread is that of the middle 80 %, in medians."""
    waste = torch.empty(_COLD if cold and device != "cpu" else 0, dtype=torch.uint8, device=device)
    took = _on_cpu if device == "cpu" else _on_gpu
    for _ in range(warm_up):
        function()
    found = took(torch, device, function, waste, times)
    median, tenths = statistics.median(found), statistics.quantiles(found, n=10, method="inclusive")
    clock = "time.perf_counter" if device == "cpu" else "CUDA events"
    how = f"{clock} around each call{f', {_LONG}' if len(waste) else ''}; {warm_up} to warm up, median of {times}"
    spread = (tenths[-1] - tenths[0]) / median if median else 0.0
    return {"median_us": round(median, 2), "spread": round(spread, 3), "times": times, "method": how}


def _on_gpu(torch: Any, device: str, function: Callable[[], Any], waste: Any, times: int) -> list[float]:
    """All are queued before any is waited for, so that the time to launch is hidden behind the overwriting."""
    with torch.cuda.device(device):
        events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(times)]
        torch.cuda.synchronize()
        for begin, end in events:
            waste.zero_()
            begin.record()
            function()
            end.record()
        torch.cuda.synchronize()
        return [begin.elapsed_time(end) * 1000 for begin, end in events]


def _on_cpu(torch: Any, device: str, function: Callable[[], Any], waste: Any, times: int) -> list[float]:  # noqa: ARG001
    found = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        found.append((time.perf_counter() - began) * 1e6)
    return found


def slow(rates: Mapping[Any, float], kinds: Mapping[Any, str], least: float) -> dict[Any, float]:
    """Those far below the others of their kind, each with the median of the others."""
    found = {}
    for one, rate in rates.items():
        others = [other for key, other in rates.items() if key != one and kinds.get(key) == kinds.get(one)]
        if others and rate < least * (median := statistics.median(others)):
            found[one] = median
    return found
