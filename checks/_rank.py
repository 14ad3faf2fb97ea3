"""One of several processes that exchange data, started by its path: goes through collectives and says where it is.

A hang in NCCL cannot be interrupted from Python. So every rank is a process that can be killed, and what it has to say
lies in a file before the next step begins.
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

Say = Callable[..., None]

# Up to this power of two a precision holds every integer.
_EXACT = {"float32": 24, "float16": 11}
_LARGE = 16 * 2**20
_STEPS = (
    ("all-reduce", "float32", 4),
    ("all-reduce", "float32", _LARGE),
    ("all-reduce", "float16", _LARGE),
    ("all-gather", "float32", _LARGE),
    ("reduce-scatter", "float32", _LARGE),
)
_ROUNDS = 3
_WARM_UP, _TIMES = 5, 20
_LONG_US = 250_000.0


def main(asked: dict[str, Any]) -> None:
    """`asked`: rank, count, backend, store, said (the file for its words), and `sizes` where speed is the question."""
    with open(asked["said"], "a", buffering=1) as file:

        def say(**words: Any) -> None:
            file.write(json.dumps(words) + "\n")

        say(at="start")
        try:
            torch: Any = importlib.import_module("torch")
            distributed: Any = importlib.import_module("torch.distributed")
            _join(torch, distributed, asked, say)
            work = _speed if asked.get("sizes") else _values
            work(torch, distributed, asked, say)
            say(at="the end")
        except Exception as problem:
            say(clock=time.monotonic(), problem=f"{type(problem).__name__}: {_told(problem)}")
            raise
        signal.pause()  # who leaves early breaks it for those that are not through


def _told(problem: Exception) -> str:
    """The first line; of NCCL's the next ones too, for the first only says that the others tell."""
    lines = str(problem).strip().splitlines()
    return " ".join(lines[: 4 if lines and "NCCL" in lines[0] else 1])


def _join(torch: Any, distributed: Any, asked: dict[str, Any], say: Say) -> None:
    say(at="joining the others")
    rank, backend = asked["rank"], asked["backend"]
    bound: dict[str, Any] = {}
    if backend == "nccl":
        torch.cuda.set_device(rank)
        bound["device_id"] = torch.device("cuda", rank)  # the communicator is made at once, and not in the first step
        say(version=".".join(map(str, torch.cuda.nccl.version())))
    distributed.init_process_group(
        backend,
        init_method=f"file://{asked['store']}",
        rank=rank,
        world_size=asked["count"],
        timeout=dt.timedelta(hours=1),  # who started this has the deadline
        **bound,
    )


def _device(asked: dict[str, Any]) -> str:
    return f"cuda:{asked['rank']}" if asked["backend"] == "nccl" else "cpu"


def _values(torch: Any, distributed: Any, asked: dict[str, Any], say: Say) -> None:
    for kind, precision, size in steps(asked["count"]):
        name = f"{kind} of {words(size)} in {precision}"
        step = _Step(torch, distributed, asked, precision, size)
        once = {"all-reduce": step.reduced, "all-gather": step.gathered, "reduce-scatter": step.scattered}[kind]
        texts = []
        for _ in range(_ROUNDS):  # all of them whatever comes: the others would wait for who leaves
            say(at=name)
            texts.append(once())
        if any(texts):
            say(wrong=f"{name}: {next(filter(None, texts))}")


def steps(count: int) -> list[tuple[str, str, int]]:
    """What so many ranks can do by values that tell them apart."""
    return [step for step in _STEPS if count <= _EXACT[step[1]]]


def words(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 2**20 else f"{size} B"


class _Step:
    """The three collectives on the same values."""

    def __init__(self, torch: Any, distributed: Any, asked: dict[str, Any], precision: str, size: int) -> None:
        self.torch, self.distributed, self.count, self.device = torch, distributed, asked["count"], _device(asked)
        self.dtype = getattr(torch, precision)
        self.digits = _EXACT[precision] // self.count
        length = size // self.dtype.itemsize
        self.each = max(length // self.count, 1)
        self.whole = values(torch, self.each * self.count if length > 1 else 1, self.digits * self.count)
        self.mine = part(self.whole, asked["rank"], self.digits)
        self.own = slice(asked["rank"] * self.each, (asked["rank"] + 1) * self.each)

    def reduced(self) -> str:
        found = self._there(self.mine)
        self.distributed.all_reduce(found)
        return difference(found.cpu(), self.whole, self.digits, self.count)

    def gathered(self) -> str:
        found = self._there(self.torch.full_like(self.whole, -1))
        gather = getattr(self.distributed, "all_gather_single", None) or self.distributed.all_gather_into_tensor
        gather(found, self._there(self.whole[self.own]))
        return difference(found.cpu(), self.whole, self.digits, 0)

    def scattered(self) -> str:
        found = self._there(self.torch.full_like(self.whole[self.own], -1))
        scatter = getattr(self.distributed, "reduce_scatter_single", None) or self.distributed.reduce_scatter_tensor
        scatter(found, self._there(self.mine))
        return difference(found.cpu(), self.whole[self.own], self.digits, self.count)

    def _there(self, numbers: Any) -> Any:
        return numbers.to(self.dtype).to(self.device)


def values(torch: Any, length: int, digits: int) -> Any:
    """Numbers of so many binary digits that depend on their place; every rank has a part of each.

    The parts add up without rounding. Where one is lost, comes twice or lies at another place the sum is another.
    """
    position = torch.arange(length, dtype=torch.int64)
    whole = (((position * 2_654_435_761) ^ (position >> 9) * 40_503) >> 7) & (2**digits - 1)
    whole[0] = 2**digits - 1  # of a single number everybody has a part
    return whole


def part(whole: Any, rank: int, digits: int) -> Any:
    """Some binary digits that no other rank has."""
    return whole & ((2**digits - 1) << digits * rank)


def difference(found: Any, whole: Any, digits: int, parts: int) -> str:
    """How many numbers are wrong, and whose part the first one lacks or has twice; empty where all are right."""
    wanted = whole.to(found.dtype)
    if found.equal(wanted):
        return ""
    wrong = (found != wanted).nonzero()
    at = int(wrong[0])
    number, right = float(found[at]), int(whole[at])
    text = f"{len(wrong)} of {len(whole)} numbers are wrong, number {at} is {number:.10g} instead of {right}"
    for rank in range(parts):
        if number != right and abs(number - right) == part(right, rank, digits):
            return f"{text}: the part of rank {rank} {'is missing' if number < right else 'came twice'}"
    return text


def _speed(torch: Any, distributed: Any, asked: dict[str, Any], say: Say) -> None:
    """All-reduce in place, one after the other, of each size for which every rank has twice the memory."""
    device = _device(asked)
    free = torch.cuda.mem_get_info()[0] if device != "cpu" else asked["sizes"][-1] * 2
    least = torch.tensor([free], device=device)
    distributed.all_reduce(least, op=distributed.ReduceOp.MIN)
    for size in asked["sizes"]:
        if size * 2 > int(least):
            break
        say(at=f"all-reduce of {words(size)}, timed")
        buffer = torch.zeros(size // 4, device=device)
        for _ in range(_WARM_UP):
            distributed.all_reduce(buffer)
        times = _times(torch, device, partial(distributed.all_reduce, buffer))
        say(size=size, times_us=times)
        longest = torch.tensor([max(times)], device=device)
        distributed.all_reduce(longest, op=distributed.ReduceOp.MAX)
        if float(longest) > _LONG_US:  # everybody knows it, and nobody waits alone in the next size
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
