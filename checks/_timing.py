"""Measures how long a call takes on a device: after a warm-up, with a cold cache, many times."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from ._contract import Figure

_COLD_BYTES = 256 * 2**20  # more than the last cache of any of today's GPUs
_FEWEST = 5  # fewer samples make no median
_WARM_S = 0.3  # clocks of an idle GPU need tens of milliseconds of work to rise
_COLD = "the last cache overwritten before each"
_EXPONENTS = {"GB/s": -3, "TFLOP/s": -6}  # of bytes or operations in a microsecond


@dataclass(frozen=True)
class Timing:
    """The microseconds of each call, and how they were measured."""

    samples_us: tuple[float, ...]
    method: str

    @property
    def median_us(self) -> float:
        return statistics.median(self.samples_us)

    def evidence(self) -> dict[str, Any]:
        """Return median and spread; the figure made of this timing holds each sample."""
        # The spread is that of the middle 80 %, as a part of the median.
        tenths = statistics.quantiles(self.samples_us, n=10, method="inclusive")
        median = self.median_us
        return {
            "median_us": round(median, 2),
            "spread": round((tenths[-1] - tenths[0]) / median if median else 0.0, 3),
            "times": len(self.samples_us),
            "method": self.method,
        }

    def rate(
        self, name: str, work: float, unit: Literal["GB/s", "TFLOP/s"], of: Mapping[str, str]
    ) -> Figure:
        """Return a figure of the rate; `work` is the bytes or operations of each call."""
        rates = [work * 10.0 ** _EXPONENTS[unit] / sample for sample in self.samples_us]
        return figure(name, rates, unit, of=of, method=self.method)

    def milliseconds(self, name: str, of: Mapping[str, str]) -> Figure:
        times = [sample / 1000 for sample in self.samples_us]
        return figure(name, times, "ms", better="lower", of=of, method=self.method)


def figure(
    name: str,
    samples: Iterable[float],
    unit: str,
    *,
    better: Literal["higher", "lower"] = "higher",
    of: Mapping[str, str] = MappingProxyType({}),
    method: str = "",
) -> Figure:
    """Return the figure of a number that was measured once per sample."""
    rounded = tuple(map(five_digits, samples))
    value = five_digits(statistics.median(rounded))
    return Figure(name, value, unit, better, dict(of), rounded, repeats=len(rounded), method=method)


def five_digits(number: float) -> float:
    """Round to five digits, more than any measurement here repeats."""
    return float(f"{number:.5g}")


def measure(
    torch: Any,
    device: str,
    function: Callable[[], Any],
    *,
    times: int = 20,
    warm_up: int = 5,
    cold: bool = True,
    budget_s: float = math.inf,
) -> Timing:
    """Time a call, as often as `times` and the budget allow, and a few times in any case.

    `cold`: the last cache of the GPU is overwritten before each call.
    """
    waste = torch.empty(
        _COLD_BYTES if cold and device != "cpu" else 0, dtype=torch.uint8, device=device
    )
    run = _time_on_cpu if device == "cpu" else _time_on_gpu
    _warm_up(torch, device, function, warm_up)
    if budget_s < math.inf:
        (once,) = run(torch, device, function, waste, 1)
        times = max(_FEWEST, min(times, int(budget_s * 1e6 / max(once, 1))))
    samples = run(torch, device, function, waste, times)
    clock = "time.perf_counter" if device == "cpu" else "CUDA events"
    cache = f", {_COLD}" if len(waste) else ""
    warm = f"{warm_up} call{'s' * (warm_up != 1)}" + (
        "" if device == "cpu" or not warm_up else f" and {_WARM_S} s"
    )
    return Timing(
        tuple(samples), f"{clock} around each call{cache}; {warm} to warm up, median of {times}"
    )


def _warm_up(torch: Any, device: str, function: Callable[[], Any], times: int) -> None:
    """Call a function a few times; on a GPU also until its clocks have risen."""
    for _ in range(times):
        function()
    if device == "cpu" or not times:
        return
    torch.cuda.synchronize(device)  # the first call may have compiled for minutes
    until = time.monotonic() + _WARM_S
    while time.monotonic() < until:
        function()
        torch.cuda.synchronize(device)


def _time_on_gpu(
    torch: Any, device: str, function: Callable[[], Any], waste: Any, times: int
) -> list[float]:
    with torch.cuda.device(device):
        events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(times)]
        torch.cuda.synchronize()
        # All calls are queued before any is waited for, so that the time to launch one is hidden
        # behind the overwriting of the cache.
        for begin, end in events:
            waste.zero_()
            begin.record()
            function()
            end.record()
        torch.cuda.synchronize()
        return [begin.elapsed_time(end) * 1000 for begin, end in events]


def _time_on_cpu(
    torch: Any,  # noqa: ARG001 - called like its twin for GPUs
    device: str,  # noqa: ARG001
    function: Callable[[], Any],
    waste: Any,  # noqa: ARG001
    times: int,
) -> list[float]:
    samples = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        samples.append((time.perf_counter() - began) * 1e6)
    return samples


def slower_than_peers(
    rates: Mapping[Any, float], kinds: Mapping[Any, str], least: float
) -> dict[Any, float]:
    """Return those far below the others of their kind, each with the median of the others."""
    slow = {}
    for key, rate in rates.items():
        peers = [
            other
            for name, other in rates.items()
            if name != key and kinds.get(name) == kinds.get(key)
        ]
        if peers and rate < least * (median := statistics.median(peers)):
            slow[key] = median
    return slow
