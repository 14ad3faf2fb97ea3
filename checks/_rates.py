"""What GPUs reach, held to what their memory can at best and to other GPUs of the same name on this host."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from . import _timing
from ._contract import Verdict

# Argued, not measured: GPUs of one name and one host run the same work at the same clocks, give or take a few percent.
_OF_ITS_LIKE = 0.85
_SHOWN = 100


def peak(torch: Any, device: str) -> float | None:
    """GB/s: two transfers a clock over the width of the bus; None where torch does not tell, or it is not all ours."""
    if device == "cpu":
        return None
    told = torch.cuda.get_device_properties(device)
    clock, width = (getattr(told, name, 0) for name in ("memory_clock_rate", "memory_bus_width"))
    if not clock or not width or told.is_integrated or " MIG " in told.name:
        return None
    return float(2 * clock * 1000 * (width / 8) / 1e9)


def held(rate: float, best: float | None, least: float, what: str) -> tuple[str, dict[str, Any]]:
    """What is wrong with a rate, if anything; shown, and not judged, where nobody knows the best."""
    found: dict[str, Any] = {"gb_per_s": round(rate, 1)}
    if best:
        found |= {"peak_gb_per_s": round(best, 1), "of_peak": round(rate / best, 3), "least_of_peak": least}
    if not best or rate >= least * best:
        return "", found
    return f"{what} {rate:.0f} GB/s, {rate / best:.0%} of {best:.0f}, and {least:.0%} are the least", found


def told(found: Verdict, what: str) -> Verdict:
    """The verdict over all devices with its figures; one that is far below others of its name fails."""
    if not found.passed:
        return found
    devices = {name: each for name, each in found.evidence["devices"].items() if "gb_per_s" in each}
    rates = {name: each["gb_per_s"] for name, each in devices.items()}
    kinds = {name: name.partition("(")[2] for name in rates}
    slow = _timing.slow(rates, kinds, _OF_ITS_LIKE)
    if slow:
        texts = [f"{name}: {what} {rates[name]:.0f} GB/s, the others of its kind {slow[name]:.0f}" for name in slow]
        return replace(found, passed=False, summary="; ".join(texts))
    shares = [each["of_peak"] for each in devices.values() if "of_peak" in each]
    of = f", {min(shares):.0%} of the peak at least" if len(shares) == len(devices) else ", and the peak is not known"
    return replace(found, summary=f"{what} {_range(list(rates.values()))}{of}")


def _range(rates: list[float]) -> str:
    least, most = f"{min(rates):.0f}", f"{max(rates):.0f}"
    return f"{least} GB/s" if least == most else f"{least} to {most} GB/s"


def ran(torch: Any, device: str, function: Callable[[], Any]) -> list[str]:
    """The names of what ran on the GPU, as its profiler sees them; empty where it may not look."""
    if device == "cpu":
        return []
    with contextlib.suppress(RuntimeError):  # a host that forbids it says nothing about its speed
        activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            function()
            torch.cuda.synchronize(device)
        on_gpu = torch.autograd.DeviceType.CUDA
        return sorted({event.name[:_SHOWN] for event in profile.events() if event.device_type == on_gpu})
    return []
