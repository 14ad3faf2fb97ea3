"""Rates of GPUs, compared with the peak of their memory and with equal GPUs on this host."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from . import _timing
from ._contract import Verdict

# Argued, not measured: GPUs of one name on one host run the same work at the same clocks, apart
# from a few percent.
_LEAST_OF_PEERS = 0.85
_SHOWN = 100


def peak_bandwidth(torch: Any, device: str) -> float | None:
    """Return the memory's peak in GB/s; None if torch does not tell it, or a part is not ours."""
    if device == "cpu":
        return None
    properties = torch.cuda.get_device_properties(device)
    clock = getattr(properties, "memory_clock_rate", 0)
    width = getattr(properties, "memory_bus_width", 0)
    if not clock or not width or properties.is_integrated or " MIG " in properties.name:
        return None
    # Two transfers per clock (in kHz) over the width of the bus (in bits).
    return float(2 * clock * 1000 * (width / 8) / 1e9)


def compare_with_peak(
    rate: float, peak: float | None, least: float, what: str
) -> tuple[str, dict[str, Any]]:
    """Return what is wrong with a rate, or "", and its evidence. Without a peak: ""."""
    evidence: dict[str, Any] = {"gb_per_s": round(rate, 1)}
    if not peak:
        return "", evidence
    evidence |= {
        "peak_gb_per_s": round(peak, 1),
        "of_peak": round(rate / peak, 3),
        "least_of_peak": least,
    }
    if rate >= least * peak:
        return "", evidence
    share = f"{rate / peak:.0%} of its peak of {peak:.0f}"
    return f"{what} {rate:.0f} GB/s, {share}; at least {least:.0%} is expected", evidence


def compare_gpus(verdict: Verdict, what: str) -> Verdict:
    """Return the verdict with its rates in the summary; a GPU far below its peers fails."""
    if not verdict.passed:
        return verdict
    devices = {name: row for name, row in verdict.evidence["devices"].items() if "gb_per_s" in row}
    rates = {name: row["gb_per_s"] for name, row in devices.items()}
    slow = _timing.slower_than_peers(
        rates, {name: name.partition("(")[2] for name in rates}, _LEAST_OF_PEERS
    )
    if slow:
        summary = "; ".join(
            f"{name}: {what} {rates[name]:.0f} GB/s, the others of its kind {median:.0f}"
            for name, median in slow.items()
        )
        return replace(verdict, passed=False, summary=summary)
    shares = [row["of_peak"] for row in devices.values() if "of_peak" in row]
    complete = len(shares) == len(devices)
    beside = (
        f"at least {min(shares):.0%} of the peak" if complete else "and not compared with a peak"
    )
    return replace(verdict, summary=f"{what} {_range(list(rates.values()))}, {beside}")


def _range(rates: list[float]) -> str:
    least, most = f"{min(rates):.0f}", f"{max(rates):.0f}"
    return f"{least} GB/s" if least == most else f"{least} to {most} GB/s"


def kernels_of(torch: Any, device: str, function: Callable[[], Any]) -> list[str]:
    """Return the names of what a call runs on the GPU; empty if the profiler may not look."""
    if device == "cpu":
        return []
    # A host that forbids profiling says nothing about its speed by that.
    with contextlib.suppress(RuntimeError):
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        ) as profile:
            function()
            torch.cuda.synchronize(device)
        gpu = torch.autograd.DeviceType.CUDA
        return sorted(
            {event.name[:_SHOWN] for event in profile.events() if event.device_type == gpu}
        )
    return []
