"""Measures copies between host and each GPU, and compares them with the GPU's PCIe link."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from . import _devices, _host, _rates, _timing
from ._contract import Check, Context, Needs, Verdict

_BYTES = 2**28
# GB/s of one lane in one direction by generation, after coding and before packet headers.
_LANE = {1: 0.25, 2: 0.5, 3: 0.985, 4: 1.969, 5: 3.938, 6: 7.563}
# 16 lanes reach 55 GB/s of 63 on generation 5, and 25 of 31.5 on generation 4: 79 to 88 %. Memory
# of another socket costs some of it; half the lanes, or a lower generation, is half.
_LEAST = 0.65
_WAYS = {"to_gpu": "to GPU", "to_host": "to host"}
_DIRECTIONS = {"to_gpu": "from the host to the GPU", "to_host": "from the GPU to the host"}


def body(context: Context) -> Verdict:
    links = recorded_links(context)

    def measure_gpu(torch: Any, device: str) -> _devices.DeviceResult:
        link = links.get(int(device.rpartition(":")[2]), {})
        # The GPU reads pinned memory by itself; else a copy in between would be timed, too.
        return measure(torch, device, link, torch.empty(_BYTES, dtype=torch.uint8, pin_memory=True))

    verdict = _devices.try_on_each(context, measure_gpu, "", at_once=False)
    return _rates.compare_gpus(verdict, "between host and GPU, in the slower direction:")


def recorded_links(context: Context) -> dict[int, Mapping[str, Any]]:
    """Return the PCIe link of each GPU by torch's number, as far as it is recorded."""
    gpus = _host.optional_fact(context.facts, "gpus") or []
    by_id = {gpu["id"]: gpu.get("link") or {} for gpu in gpus}
    return {number: by_id.get(gpu, {}) for number, gpu in enumerate(context.gpus)}


def best_rate(link: Mapping[str, Any]) -> float | None:
    """Return the rate of the best link that GPU and slot allow."""
    # Not that of the current link, which an idle GPU slows down.
    lane = _LANE.get(link.get("generation_max") or 0)
    return lane * link["width_max"] if lane and link.get("width_max") else None


def measure(torch: Any, device: str, link: Mapping[str, Any], host: Any) -> _devices.DeviceResult:
    """Copy `host` to the GPU and back, and compare the slower direction with the link."""
    host.copy_(torch.arange(len(host), dtype=torch.int32))  # bytes wrap
    on_gpu, back = torch.zeros_like(host, device=device), torch.zeros_like(host)
    if device != "cpu":
        back = back.pin_memory()
    copies = {
        "to_gpu": partial(on_gpu.copy_, host, non_blocking=True),
        "to_host": partial(back.copy_, on_gpu, non_blocking=True),
    }
    timings = {
        way: _timing.measure(torch, device, copy, times=10, cold=False)
        for way, copy in copies.items()
    }
    if not back.equal(host):
        return "data that went to the GPU and back differs from what was sent", {}
    rates = {way: len(host) / timing.median_us / 1000 for way, timing in timings.items()}
    slower = min(rates, key=lambda way: rates[way])
    problem, evidence = _rates.compare_with_peak(
        rates[slower], best_rate(link), _LEAST, _DIRECTIONS[slower]
    )
    if problem:
        problem += f" of PCIe {link['generation_max']} x{link['width_max']}{missing_lanes(link)}"
    return problem, {
        **evidence,
        "bytes": len(host),
        "link": dict(link),
        **{
            way: {"rate_gb_per_s": round(rates[way], 1), **timing.evidence()}
            for way, timing in timings.items()
        },
        "figures": [
            timing.rate("host link", len(host), "GB/s", {"way": _WAYS[way]})
            for way, timing in timings.items()
        ],
    }


def missing_lanes(link: Mapping[str, Any]) -> str:
    """Return a remark if lanes are missing; unlike the speed, their number is the same at rest."""
    width = link.get("width")
    return f"; the link runs at x{width}" if width and width < link["width_max"] else ""


CHECK = Check(
    title="Speed between host and GPU",
    proves="copies to every GPU and back have the speed of the PCIe link that GPU and slot allow",
    step=40,
    weight="should",
    profile="full",
    needs=Needs(packages=("torch",), profile="cuda", gpus=1),
    body=body,
    every_gpu=True,
)
