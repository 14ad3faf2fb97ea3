"""speed_copy: the peak by clock and bus, its least share, peers, and a copy without effect."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from checks import _figures, _rates
from checks._contract import Verdict
from tests.checks import real
from tests.checks.twins import twin_of


def torch_with(
    clock: int, width: int, name: str = "NVIDIA H100 80GB HBM3", *, integrated: bool = False
) -> Any:
    properties = SimpleNamespace(
        memory_clock_rate=clock, memory_bus_width=width, name=name, is_integrated=integrated
    )
    return SimpleNamespace(cuda=SimpleNamespace(get_device_properties=lambda _: properties))


def test_the_peak_is_that_of_the_datasheets() -> None:
    assert _rates.peak_bandwidth(torch_with(2_619_000, 5120), "cuda:0") == pytest.approx(
        3352, abs=1
    )
    assert _rates.peak_bandwidth(torch_with(5_001_000, 256, "Tesla T4"), "cuda:0") == pytest.approx(
        320, abs=1
    )
    assert _rates.peak_bandwidth(
        torch_with(10_501_000, 384, "NVIDIA GeForce RTX 4090"), "cuda:0"
    ) == pytest.approx(1008, abs=1)


def test_shared_or_unknown_memory_has_no_peak() -> None:
    assert (
        _rates.peak_bandwidth(
            torch_with(2_619_000, 5120, "NVIDIA H100 80GB HBM3 MIG 1g.10gb"), "cuda:0"
        )
        is None
    )
    assert (
        _rates.peak_bandwidth(torch_with(4_266_000, 256, "NVIDIA GB10", integrated=True), "cuda:0")
        is None
    )
    assert _rates.peak_bandwidth(torch_with(0, 0), "cuda:0") is None
    assert _rates.peak_bandwidth(torch_with(2_619_000, 5120), "cpu") is None


def test_a_share_of_the_peak_is_held_to_the_least() -> None:
    problem, results = _rates.compare_with_peak(2900.0, 3352.0, 0.65, "it copies")
    assert (problem, results["of_peak"], results["gb_per_s"]) == ("", 0.865, 2900.0)
    assert _rates.compare_with_peak(1500.0, 3352.0, 0.65, "it copies")[0] == (
        "it copies 1500 GB/s, 45% of its peak of 3352; at least 65% is expected"
    )
    assert _rates.compare_with_peak(1500.0, None, 0.65, "it copies") == ("", {"gb_per_s": 1500.0})


def over(**rates: dict[str, Any]) -> Verdict:
    devices = {f"GPU {name[1:]} (NVIDIA H100)": rate for name, rate in rates.items()}
    return _rates.compare_gpus(
        Verdict(passed=True, summary="", evidence={"devices": devices}), "it copies"
    )


def test_figures_come_into_the_summary() -> None:
    results = over(
        g0={"gb_per_s": 2900.0, "of_peak": 0.87}, g1={"gb_per_s": 2950.0, "of_peak": 0.88}
    )
    assert (results.passed, results.summary) == (
        True,
        "it copies 2900 to 2950 GB/s, at least 87% of the peak",
    )
    assert (
        over(g0={"gb_per_s": 250.0}).summary == "it copies 250 GB/s, and not compared with a peak"
    )
    failed = Verdict(passed=False, summary="GPU 0: it copies too slowly")
    assert _rates.compare_gpus(failed, "it copies") is failed


def test_a_gpu_slower_than_its_peers_is_named() -> None:
    good = {"gb_per_s": 2900.0, "of_peak": 0.87}
    results = over(g0=good, g1={"gb_per_s": 2300.0, "of_peak": 0.69}, g2=good)
    assert (results.passed, results.summary) == (
        False,
        "GPU 1 (NVIDIA H100): it copies 2300 GB/s, the others of its kind 2900",
    )


@twin_of("speed_copy")
def test_a_copy_is_compared_and_timed(real_vllm: real.Vllm) -> None:
    code = """
        from checks import _devices, speed_copy as check
        from checks._contract import Context
        results = [check.measure(torch, "cpu", 2**20)]
        real = torch.zeros_like
        class Lazy(torch.Tensor):
            def copy_(self, other): return self
        torch.zeros_like = lambda given: real(given).as_subclass(Lazy)
        results.append(check.measure(torch, "cpu", 2**20))
        from functools import partial
        check.measure = partial(check.measure, size=2**20)
        verdict = check.body(Context(profile="cpu", scratch=""))
        results.append([verdict.passed, verdict.summary])
    """
    (problem, properties), (lazy, nothing), body = real_vllm.answers(code)
    assert (problem, properties["bytes_read_and_written"]) == ("", 2**21)
    assert "median of 20" in properties["method"]
    (figure,) = properties["figures"]
    assert not _figures.problem([figure])
    assert (figure["name"], figure["unit"], figure["repeats"]) == ("copy in GPU memory", "GB/s", 20)
    assert figure["value"] == pytest.approx(properties["gb_per_s"], abs=0.06)
    assert body == [False, f"CPU: {lazy}"]
    assert (lazy, nothing) == ("a copy in its memory differs from the original", {})
