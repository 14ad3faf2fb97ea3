"""How fast data comes from the host to each GPU and back, against the PCIe link that the GPU can have."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from . import _devices, _rates, _timing
from ._contract import Check, Context, Needs, Verdict

_BYTES = 2**28
# GB/s of one lane in one direction, its coding counted and its packets not.
_LANE = {1: 0.25, 2: 0.5, 3: 0.985, 4: 1.969, 5: 3.938, 6: 7.563}
# 16 lanes give 55 GB/s of 63 on generation 5 and 25 of 31.5 on generation 4: 79 to 88 %. The memory of another socket
# costs some of it; half the lanes, or a generation less, is half.
_LEAST = 0.65
_WAYS = {"to_gpu": "to GPU", "to_host": "to host"}


def body(context: Context) -> Verdict:
    links = recorded(context)

    def tried(torch: Any, device: str) -> _devices.Found:
        link = links.get(int(device.rpartition(":")[2]), {})
        return carried(torch, device, link, torch.empty(_BYTES, dtype=torch.uint8, pin_memory=True))

    return _rates.told(_devices.on_each(context, tried, "", at_once=False), "between host and GPU, the slower way:")


def recorded(context: Context) -> dict[int, Mapping[str, Any]]:
    """The PCIe link of each GPU by torch's number, as far as the recording has it."""
    gpus = context.facts.get("gpus")
    by_id = {gpu["id"]: gpu.get("link") or {} for gpu in gpus} if isinstance(gpus, list) else {}
    return {number: by_id.get(gpu, {}) for number, gpu in enumerate(context.gpus)}


def best(link: Mapping[str, Any]) -> float | None:
    """Of the link that GPU and slot could have: what runs now may be a GPU at rest, whose link is slowed down."""
    lane = _LANE.get(link.get("generation_max") or 0)
    return lane * link["width_max"] if lane and link.get("width_max") else None


def carried(torch: Any, device: str, link: Mapping[str, Any], host: Any) -> _devices.Found:
    """`host`: memory that the GPU may read by itself, so that no copy in between is timed."""
    host.copy_(torch.arange(len(host), dtype=torch.int32))  # bytes wrap
    there, back = torch.zeros_like(host, device=device), torch.zeros_like(host)
    if device != "cpu":
        back = back.pin_memory()
    ways = {"to_gpu": partial(there.copy_, host, non_blocking=True)}
    ways["to_host"] = partial(back.copy_, there, non_blocking=True)
    times = {way: _timing.timed(torch, device, copy, times=10, cold=False) for way, copy in ways.items()}
    if not back.equal(host):
        return "what went to the GPU and back is not what was sent", {}
    rates = {way: len(host) / time.median_us / 1000 for way, time in times.items()}
    slower = min(rates, key=lambda way: rates[way])
    what = "from the host to the GPU" if slower == "to_gpu" else "from the GPU to the host"
    problem, found = _rates.held(rates[slower], best(link), _LEAST, what)
    if problem:
        problem += f" of PCIe {link['generation_max']} x{link['width_max']}{narrow(link)}"
    detail = {way: {"rate_gb_per_s": round(rates[way], 1), **times[way].evidence()} for way in ways}
    figures = [time.rate("host link", len(host), "GB/s", {"way": _WAYS[way]}) for way, time in times.items()]
    return problem, found | {"bytes": len(host), "link": dict(link), **detail, "figures": figures}


def narrow(link: Mapping[str, Any]) -> str:
    """Whether the recording shows fewer lanes than there could be; their number does not change at rest."""
    width = link.get("width")
    return f"; the link runs at x{width}" if width and width < link["width_max"] else ""


CHECK = Check(
    name="speed_host_link",
    title="Speed between host and GPU",
    proves="data comes to every GPU and back at the speed of the PCIe link that GPU and slot can have",
    step=40,
    weight="should",
    on="environment",
    profile="full",
    deadline_s=300,
    needs=Needs(packages=("torch",), profile="cuda", gpus=1),
    body=body,
    every_gpu=True,
)
