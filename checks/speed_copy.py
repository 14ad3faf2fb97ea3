"""Measures copies within a GPU's memory, and compares them with the peak of that memory."""

from __future__ import annotations

from functools import partial
from typing import Any

from . import _devices, _rates, _timing
from ._contract import Check, Context, Needs, Verdict

_BYTES = 2**30
# Argued, not measured here: a copy alternates between reading and writing and reaches 75 to 90 %
# of the peak, with ECC in ordinary memory less. Half of the channels, or a memory clock that does
# not rise, is below this.
_LEAST = 0.65
_WHAT = "a copy in its memory reads and writes"


def body(context: Context) -> Verdict:
    return _rates.compare_gpus(_devices.try_on_each(context, measure, "", at_once=False), _WHAT)


def measure(torch: Any, device: str, size: int = _BYTES) -> _devices.DeviceResult:
    if device != "cpu":
        size = min(size, torch.cuda.mem_get_info(device)[0] // 4)
    source = torch.arange(size // 8, dtype=torch.int64, device=device)
    target = torch.zeros_like(source)
    copy = partial(target.copy_, source)
    timing = _timing.measure(torch, device, copy)
    if not target.equal(source):  # a copy that copies nothing is fast
        return "a copy in its memory differs from the original", {}
    moved = 2 * source.numel() * 8
    problem, evidence = _rates.compare_with_peak(
        moved / timing.median_us / 1000, _rates.peak_bandwidth(torch, device), _LEAST, _WHAT
    )
    return problem, {
        **evidence,
        "bytes_read_and_written": moved,
        "ran": _rates.kernels_of(torch, device, copy),
        "by": "torch's copy_",
        **timing.evidence(),
        "figures": [timing.rate("copy in GPU memory", moved, "GB/s", {})],
    }


CHECK = Check(
    title="Speed of GPU memory",
    proves="every GPU copies within its memory at the speed of that memory, and of its peers",
    step=40,
    weight="should",
    profile="full",
    needs=Needs(packages=("torch",), profile="cuda", gpus=1),
    body=body,
    every_gpu=True,
)
