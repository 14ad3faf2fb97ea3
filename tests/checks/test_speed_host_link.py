"""speed_host_link: the recorded link, rates far below it, and data that comes back changed."""

from __future__ import annotations

from typing import Any

import pytest

from checks import _figures, _rates
from checks import speed_host_link as check
from checks._contract import Context
from tests.checks import real
from tests.checks.twins import twin_of

GEN5 = {"width": 16, "width_max": 16, "generation": 1, "generation_max": 5}


def test_the_best_is_that_of_the_link_that_could_be() -> None:
    assert check.best_rate(GEN5) == pytest.approx(63, abs=0.1)
    assert check.best_rate({"width_max": 16, "generation_max": 4}) == pytest.approx(31.5, abs=0.1)
    assert check.best_rate({"width": 8, "width_max": None, "generation_max": 4}) is None
    assert check.best_rate({}) is None


@pytest.mark.parametrize(
    ("rate", "generation", "fine"), [(55.0, 5, True), (25.0, 4, True), (12.3, 3, True), (25.0, 5, False), (12.5, 4, False)]
)  # fmt: skip
def test_usual_rates_pass_and_half_of_them_does_not(
    rate: float, generation: int, fine: bool
) -> None:
    link = {"width_max": 16, "generation_max": generation}
    assert (not _rates.compare_with_peak(rate, check.best_rate(link), check._LEAST, "x")[0]) == fine


def test_links_are_those_of_the_used_gpus() -> None:
    facts: dict[str, Any] = {
        "gpus": [{"id": "0", "link": None}, {"id": "1"}, {"id": "2", "link": GEN5}]
    }
    context = Context(profile="cuda", scratch="", gpus=("0", "2"), facts=facts)
    assert check.recorded_links(context) == {0: {}, 1: GEN5}
    unread = Context(
        profile="cuda",
        scratch="",
        gpus=("0",),
        facts={"gpus": {"type": "Missing", "why": "refused"}},
    )
    assert check.recorded_links(unread) == {0: {}}


def test_missing_lanes_are_named() -> None:
    assert check.missing_lanes(GEN5 | {"width": 8}) == "; the link runs at x8"
    assert check.missing_lanes(GEN5) == ""


@twin_of("speed_host_link")
def test_copies_are_compared_and_timed(real_vllm: real.Vllm) -> None:
    code = """
        from checks import speed_host_link as check
        host = lambda: torch.empty(2**20, dtype=torch.uint8)
        results = [check.measure(torch, "cpu", {}, host())]
        results.append(check.measure(torch, "cpu", {"width_max": 2**20, "width": 8, "generation_max": 6}, host()))
        real = torch.zeros_like
        class Torn(torch.Tensor):
            def copy_(self, other, non_blocking=False):
                super().copy_(other); self[-1] = 7; return self
        torch.zeros_like = lambda given, **k: real(given, **k).as_subclass(Torn)
        results.append(check.measure(torch, "cpu", {}, host()))
    """
    fine, slow, torn = real_vllm.answers(code)
    assert fine[0] == ""
    assert "median of 10" in fine[1]["to_gpu"]["method"]
    assert not _figures.problem(fine[1]["figures"])
    answer = {
        (figure["name"], figure["unit"], figure["of"]["way"]): figure["repeats"]
        for figure in fine[1]["figures"]
    }
    assert answer == {("host link", "GB/s", "to GPU"): 10, ("host link", "GB/s", "to host"): 10}
    assert slow[0].endswith("of PCIe 6 x1048576; the link runs at x8")
    assert torn == ["data that went to the GPU and back differs from what was sent", {}]
