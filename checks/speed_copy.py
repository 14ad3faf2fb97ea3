"""How fast a GPU copies within its own memory, against what its memory can at best."""

from __future__ import annotations

from functools import partial
from typing import Any

from . import _devices, _rates, _timing
from ._contract import Check, Context, Needs, Verdict

_BYTES = 2**30
# Argued, not measured here: a copy reads and writes by turns and keeps 75 to 90 % of the peak, with ECC in ordinary
# memory less. Half of the channels, or a memory clock that does not rise, is below this.
_LEAST = 0.65


def body(context: Context) -> Verdict:
    return _rates.told(_devices.on_each(context, copied, "", at_once=False), "a copy in its memory reads and writes")


def copied(torch: Any, device: str, size: int = _BYTES) -> _devices.Found:
    if device != "cpu":
        size = min(size, torch.cuda.mem_get_info(device)[0] // 4)
    given = torch.arange(size // 8, dtype=torch.int64, device=device)
    taken = torch.zeros_like(given)
    copy = partial(taken.copy_, given)
    time = _timing.timed(torch, device, copy)
    if not taken.equal(given):
        return "a copy in its memory is not what was copied", {}
    size = 2 * given.numel() * 8
    best = _rates.peak(torch, device)
    problem, found = _rates.held(size / time.median_us / 1000, best, _LEAST, "a copy in its memory reads and writes")
    how = {"bytes_read_and_written": size, "ran": _rates.ran(torch, device, copy), "by": "torch's copy_"}
    figures = [time.rate("copy in GPU memory", size, "GB/s", {})]
    return problem, found | how | time.evidence() | {"figures": figures}


CHECK = Check(
    name="speed_copy",
    title="Speed of GPU memory",
    proves="every GPU copies within its memory at the speed that its memory allows, and as fast as its like",
    step=40,
    weight="should",
    on="environment",
    profile="full",
    deadline_s=300,
    needs=Needs(packages=("torch",), profile="cuda", gpus=1),
    body=body,
    every_gpu=True,
)
