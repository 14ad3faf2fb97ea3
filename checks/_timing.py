"""How long something takes on a device: after a warm-up, each time out of a cold cache; the median and the spread."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from ._contract import Figure

_COLD = 256 * 2**20  # more than the last cache of any GPU of today holds
_FEWEST = 5
_LONG = "the last cache overwritten before each"
_EXPONENTS = {"GB/s": -3, "TFLOP/s": -6}  # of bytes or operations in a microsecond


@dataclass(frozen=True)
class Timed:
    """How many microseconds each call took, and how that was measured."""

    took_us: tuple[float, ...]
    method: str

    @property
    def median_us(self) -> float:
        return statistics.median(self.took_us)

    def evidence(self) -> dict[str, Any]:
        """The spread is that of the middle 80 %, in medians; each time by itself is in the figure made of it."""
        tenths, median = statistics.quantiles(self.took_us, n=10, method="inclusive"), self.median_us
        spread = (tenths[-1] - tenths[0]) / median if median else 0.0
        return {
            "median_us": round(median, 2),
            "spread": round(spread, 3),
            "times": len(self.took_us),
            "method": self.method,
        }

    def rate(self, name: str, work: float, unit: Literal["GB/s", "TFLOP/s"], of: Mapping[str, str]) -> Figure:
        """`work`: the bytes or operations of each call."""
        each = [work * 10.0 ** _EXPONENTS[unit] / took for took in self.took_us]
        return figure(name, each, unit, of=of, method=self.method)

    def milliseconds(self, name: str, of: Mapping[str, str]) -> Figure:
        each = [took / 1000 for took in self.took_us]
        return figure(name, each, "ms", better="lower", of=of, method=self.method)


def figure(
    name: str,
    samples: Iterable[float],
    unit: str,
    *,
    better: Literal["higher", "lower"] = "higher",
    of: Mapping[str, str] = MappingProxyType({}),
    method: str = "",
) -> Figure:
    """Of what was measured as often as there are samples; five digits are more than any of it repeats."""
    kept = tuple(map(five_digits, samples))
    value = five_digits(statistics.median(kept))
    return Figure(name, value, unit, better, dict(of), kept, repeats=len(kept), method=method)


def five_digits(number: float) -> float:
    return float(f"{number:.5g}")


def timed(
    torch: Any,
    device: str,
    function: Callable[[], Any],
    *,
    times: int = 20,
    warm_up: int = 5,
    cold: bool = True,
    budget_s: float = math.inf,
) -> Timed:
    """`cold`: nothing of the last time is left in the cache.

    Within the budget as often as was said, and a few times in any case.
    """
    waste = torch.empty(_COLD if cold and device != "cpu" else 0, dtype=torch.uint8, device=device)
    took = _on_cpu if device == "cpu" else _on_gpu
    for _ in range(warm_up):
        function()
    if budget_s < math.inf:
        (once,) = took(torch, device, function, waste, 1)
        times = max(_FEWEST, min(times, int(budget_s * 1e6 / max(once, 1))))
    found = took(torch, device, function, waste, times)
    clock = "time.perf_counter" if device == "cpu" else "CUDA events"
    how = f"{clock} around each call{f', {_LONG}' if len(waste) else ''}; {warm_up} to warm up, median of {times}"
    return Timed(tuple(found), how)


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
