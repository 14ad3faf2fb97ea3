"""_timing: the number of calls, the warm-up, and a cold cache before each call on a GPU."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from checks import _figures, _timing


def pretended(log: list[str]) -> Any:
    """A torch whose clock is the length of the log: one tick an action."""

    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            log.append("event")
            self.at = len(log)

        def elapsed_time(self, end: Event) -> float:
            return (end.at - self.at) * 0.01

    cuda = SimpleNamespace(
        Event=Event,
        device=lambda _: contextlib.nullcontext(),
        synchronize=lambda *_: log.append("wait"),
    )

    class Waste:
        def __init__(self, size: int) -> None:
            self.size = size

        def __len__(self) -> int:
            return self.size

        def zero_(self) -> None:
            log.append(f"overwrite {self.size >> 20} MiB")

    return SimpleNamespace(cuda=cuda, uint8="uint8", empty=lambda size, **_: Waste(size))


def test_on_a_gpu_each_call_stands_between_events_behind_a_cold_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_timing, "_WARM_S", 0.01)
    log: list[str] = []
    result = _timing.measure(
        pretended(log), "cuda:0", lambda: log.append("call"), times=3, warm_up=2
    )
    warm_up = log[: log.index("overwrite 256 MiB")]
    log = log[len(warm_up) :]
    assert warm_up[:3] == ["call", "call", "wait"]
    assert len(warm_up) > 5, "and until the clocks have risen"
    once = ["overwrite 256 MiB", "event", "call", "event"]
    assert log == [*once * 3, "wait"]
    assert result.samples_us == (20.0,) * 3
    assert result.evidence() == {
        "median_us": 20.0,
        "spread": 0.0,
        "times": 3,
        "method": "CUDA events around each call, the last cache overwritten before each; 2 calls and 0.01 s to warm up, median of 3",
    }


def test_on_the_cpu_the_clock_of_the_host_is_taken() -> None:
    calls: list[int] = []
    result = _timing.measure(pretended([]), "cpu", lambda: calls.append(1), times=4, warm_up=1)
    assert len(calls) == 5
    assert result.method == "time.perf_counter around each call; 1 call to warm up, median of 4"
    assert len(result.samples_us) == 4


def test_a_budget_bounds_how_often() -> None:
    log: list[str] = []
    result = _timing.measure(
        pretended(log), "cuda:0", lambda: log.append("call"), times=50, warm_up=0, budget_s=0.00014
    )
    assert len(result.samples_us) == 7, "of 20 us each"
    few = _timing.measure(pretended([]), "cuda:0", lambda: None, times=50, budget_s=0.0)
    assert len(few.samples_us) == 5, "a few at least"


def test_a_figure_is_the_median_of_all_that_was_measured() -> None:
    time = _timing.Timing((20.0, 10.0, 40.0, 30.0), "as timed")
    rate = time.rate("copy", 3_000_000, "GB/s", {"way": "to GPU"})
    assert rate.samples == (150.0, 300.0, 75.0, 100.0), "in the order of time, each by itself"
    assert (rate.value, rate.unit, rate.better, rate.repeats) == (125.0, "GB/s", "higher", 4)
    assert (rate.of, rate.method) == ({"way": "to GPU"}, "as timed")
    assert time.rate("product", 2e9, "TFLOP/s", {}).samples == (100.0, 200.0, 50.0, 66.667), (
        "five digits"
    )
    took = time.milliseconds("time", {})
    assert (took.value, took.samples, took.better) == (0.025, (0.02, 0.01, 0.04, 0.03), "lower")
    assert not _figures.problem([asdict(item) for item in (rate, took)])
    assert "samples" not in str(time.evidence()), "which are not kept twice"
