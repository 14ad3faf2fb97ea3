"""One of several processes that exchange data: runs collectives and writes each step to a file.

It is started by its path. A hang in NCCL cannot be interrupted from Python, so every rank is a
process that can be killed, and the file names a step before it begins.
"""

from __future__ import annotations

import datetime as dt
import importlib
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

Report = Callable[..., None]

# A precision holds every integer up to this power of two.
_EXACT = {"float32": 24, "float16": 11}
_LARGE = 16 * 2**20
# NCCL takes other algorithms and protocols for small and large messages; 16 MiB is large.
_STEPS = (
    ("all-reduce", "float32", 4),
    ("all-reduce", "float32", _LARGE),
    ("all-reduce", "float16", _LARGE),
    ("all-gather", "float32", _LARGE),
    ("reduce-scatter", "float32", _LARGE),
)
_ROUNDS = 3
_WARM_UP, _TIMES = 5, 20
# A size that takes longer than this is the last one: the next would take four times as long.
_LONG_US = 250_000.0


def main(request: dict[str, Any]) -> None:
    """Join the group and run the steps.

    `request` has rank, count, backend, store, `said` (the file of messages), and `sizes` if the
    speed is to be measured.
    """
    with open(request["said"], "a", buffering=1) as file:

        def report(**message: Any) -> None:
            file.write(json.dumps(message) + "\n")

        report(at="start")
        try:
            torch: Any = importlib.import_module("torch")
            distributed: Any = importlib.import_module("torch.distributed")
            _join(torch, distributed, request, report)
            run = _measure if request.get("sizes") else _compare
            run(torch, distributed, request, report)
            report(at="the end")
        except Exception as error:
            report(clock=time.monotonic(), problem=f"{type(error).__name__}: {_first_line(error)}")
            raise
        signal.pause()  # a rank that ends early breaks the others that are not through


def _first_line(error: Exception) -> str:
    """Return the first line; for NCCL the first four, since its first line names no cause."""
    lines = str(error).strip().splitlines()
    return " ".join(lines[: 4 if lines and "NCCL" in lines[0] else 1])


def _join(torch: Any, distributed: Any, request: dict[str, Any], report: Report) -> None:
    report(at="joining the others")
    rank, backend = request["rank"], request["backend"]
    settings: dict[str, Any] = {}
    if backend == "nccl":
        torch.cuda.set_device(rank)
        # With a device the communicator is made at once, and not in the first step.
        settings["device_id"] = torch.device("cuda", rank)
        report(version=".".join(map(str, torch.cuda.nccl.version())))
    distributed.init_process_group(
        backend,
        init_method=f"file://{request['store']}",
        rank=rank,
        world_size=request["count"],
        timeout=dt.timedelta(hours=1),  # the parent has the deadline
        **settings,
    )


def _device(request: dict[str, Any]) -> str:
    return f"cuda:{request['rank']}" if request["backend"] == "nccl" else "cpu"


def _compare(torch: Any, distributed: Any, request: dict[str, Any], report: Report) -> None:
    for kind, precision, size in steps(request["count"]):
        name = f"{kind} of {size_text(size)} in {precision}"
        step = _Step(torch, distributed, request, precision, size)
        run = {
            "all-reduce": step.reduce,
            "all-gather": step.gather,
            "reduce-scatter": step.scatter,
        }[kind]
        problems = []
        for _ in range(_ROUNDS):  # all rounds, since the others would wait for a rank that left
            report(at=name)
            problems.append(run())
        if any(problems):
            report(wrong=f"{name}: {next(filter(None, problems))}")


def steps(count: int) -> list[tuple[str, str, int]]:
    """Return the steps whose precision can tell the values of so many ranks apart."""
    return [step for step in _STEPS if count <= _EXACT[step[1]]]


def size_text(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 2**20 else f"{size} B"


class _Step:
    """The three collectives on the same values."""

    def __init__(
        self, torch: Any, distributed: Any, request: dict[str, Any], precision: str, size: int
    ) -> None:
        self.torch, self.distributed = torch, distributed
        self.count, self.device = request["count"], _device(request)
        self.dtype = getattr(torch, precision)
        self.digits = _EXACT[precision] // self.count
        length = size // self.dtype.itemsize
        share = max(length // self.count, 1)
        self.whole = values(
            torch, share * self.count if length > 1 else 1, self.digits * self.count
        )
        self.part = part(self.whole, request["rank"], self.digits)
        self.slice = slice(request["rank"] * share, (request["rank"] + 1) * share)

    def reduce(self) -> str:
        numbers = self._on_device(self.part)
        self.distributed.all_reduce(numbers)
        return difference(numbers.cpu(), self.whole, self.digits, self.count)

    def gather(self) -> str:
        numbers = self._on_device(self.torch.full_like(self.whole, -1))
        # Newer releases of torch have the functions under new names.
        gather = getattr(self.distributed, "all_gather_single", None)
        gather = gather or self.distributed.all_gather_into_tensor
        gather(numbers, self._on_device(self.whole[self.slice]))
        return difference(numbers.cpu(), self.whole, self.digits, 0)

    def scatter(self) -> str:
        numbers = self._on_device(self.torch.full_like(self.whole[self.slice], -1))
        scatter = getattr(self.distributed, "reduce_scatter_single", None)
        scatter = scatter or self.distributed.reduce_scatter_tensor
        scatter(numbers, self._on_device(self.part))
        return difference(numbers.cpu(), self.whole[self.slice], self.digits, self.count)

    def _on_device(self, numbers: Any) -> Any:
        return numbers.to(self.dtype).to(self.device)


def values(torch: Any, length: int, digits: int) -> Any:
    """Return numbers of so many binary digits that depend on their position.

    Every rank has a part of each; the parts add up without rounding. If one is lost, comes twice
    or lies at another position, the sum differs.
    """
    # Knuth's multiplier and a second one spread the positions, so that no two blocks are alike.
    position = torch.arange(length, dtype=torch.int64)
    whole = (((position * 2_654_435_761) ^ (position >> 9) * 40_503) >> 7) & (2**digits - 1)
    whole[0] = 2**digits - 1  # of a single number every rank has a part
    return whole


def part(whole: Any, rank: int, digits: int) -> Any:
    """Return the binary digits that belong to one rank only."""
    return whole & ((2**digits - 1) << digits * rank)


def difference(numbers: Any, whole: Any, digits: int, parts: int) -> str:
    """Return the number of wrong values, and whose part is missing or doubled; or ""."""
    expected = whole.to(numbers.dtype)
    if numbers.equal(expected):
        return ""
    wrong = (numbers != expected).nonzero()
    at = int(wrong[0])
    number, right = float(numbers[at]), int(whole[at])
    text = (
        f"{len(wrong)} of {len(whole)} numbers are wrong, "
        f"number {at} is {number:.10g} instead of {right}"
    )
    for rank in range(parts):
        if number != right and abs(number - right) == part(right, rank, digits):
            problem = "is missing" if number < right else "came twice"
            return f"{text}: the part of rank {rank} {problem}"
    return text


def _measure(torch: Any, distributed: Any, request: dict[str, Any], report: Report) -> None:
    """Time all-reduce in place for each size for which every rank has twice the memory."""
    device = _device(request)
    free = torch.cuda.mem_get_info()[0] if device != "cpu" else request["sizes"][-1] * 2
    least = torch.tensor([free], device=device)
    distributed.all_reduce(least, op=distributed.ReduceOp.MIN)
    for size in request["sizes"]:
        if size * 2 > int(least):
            break
        report(at=f"all-reduce of {size_text(size)}, timed")
        buffer = torch.zeros(size // 4, device=device)
        for _ in range(_WARM_UP):
            distributed.all_reduce(buffer)
        times = _times(torch, device, partial(distributed.all_reduce, buffer))
        report(size=size, times_us=times)
        # All ranks learn the longest time, so that none waits alone in the next size.
        longest = torch.tensor([max(times)], device=device)
        distributed.all_reduce(longest, op=distributed.ReduceOp.MAX)
        if float(longest) > _LONG_US:
            break


def _times(torch: Any, device: str, function: Callable[[], Any]) -> list[float]:
    if device == "cpu":
        marks = [time.perf_counter()]
        for _ in range(_TIMES):
            function()
            marks.append(time.perf_counter())
        return [(end - begin) * 1e6 for begin, end in itertools.pairwise(marks)]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(_TIMES + 1)]
    events[0].record()
    for event in events[1:]:
        function()
        event.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) * 1000 for begin, end in itertools.pairwise(events)]


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
    os._exit(0)
