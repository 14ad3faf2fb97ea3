"""collective_speed: bus bandwidth, pass marks of known machines, and a real group on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checks import _ranks
from checks import collective_speed as check
from checks._contract import Context
from tests.checks import real
from tests.checks.twins import twin_of

GIB = 2**30
SXM = "NVIDIA H100 80GB HBM3"
TWO = Context(profile="cuda", scratch="", gpus=("0", "1"))


def test_busbw_is_that_of_nccl_tests() -> None:
    # 8 GPUs, 16 GiB in 62.5 ms: 274.9 GB/s of the algorithm, times 2 * 7 / 8
    assert check.busbw(16 * GIB, 62_500, 8) == pytest.approx(481.04, abs=0.01)
    assert check.busbw(16 * GIB, 62_500, 2) == pytest.approx(274.88, abs=0.01)


def test_the_slowest_rank_counts_for_sizes_that_all_measured() -> None:
    quick: list[dict[str, Any]]
    slow: list[dict[str, Any]]
    quick = [
        {"at": "start"},
        {"size": GIB, "times_us": [900.0] * 20},
        {"size": 4 * GIB, "times_us": [3600.0] * 20},
    ]
    slow = [{"at": "start"}, {"size": GIB, "times_us": [1000.0] * 19 + [9000.0]}]
    took = check.slowest([quick, slow])
    assert took == {GIB: [1000.0] * 19 + [9000.0]}
    assert check.rows(took, 2) == [
        {
            "bytes": GIB,
            "median_us": 1000.0,
            "spread": 0.0,
            "algbw_gb_per_s": 1073.74,
            "busbw_gb_per_s": 1073.74,
        }
    ]


def judged(
    bandwidth: float, name: str = SXM, count: int = 8, size: int = 16 * GIB, *, nvlink: bool = True
) -> Any:
    return check.judge([{"bytes": size, "busbw_gb_per_s": bandwidth}], (name, count, nvlink))


@twin_of("collective_speed")
def test_known_machines_are_held_to_their_mark() -> None:
    assert judged(437.5).passed
    assert judged(520.0).passed, "more than the wire carries is legal where the switches add up"
    slow = judged(430.0)
    assert (slow.passed, slow.summary) == (
        False,
        f"all-reduce of 16 GiB on 8 GPUs: 430 GB/s of bus bandwidth, and 460 are usual for 8 x {SXM}",
    )
    assert judged(431.0, "NVIDIA H200").passed
    assert not judged(400.0, "NVIDIA H200").passed
    assert not judged(200.0, "NVIDIA A100-SXM4-80GB").passed
    assert judged(200.0, "NVIDIA A100-SXM4-80GB", 2).evidence["pass_mark_gb_per_s"] == 193.0
    assert judged(200.0, "NVIDIA H100 NVL", 2).evidence["pass_mark_gb_per_s"] == 208.0


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (judged(30.0, "NVIDIA L4"), "the usual speed of such a machine is not known"),
        (judged(30.0, count=4), "the usual speed of such a machine is not known"),
        (judged(30.0, nvlink=False), "the usual speed of such a machine is not known"),
        (judged(30.0, "NVIDIA H200 NVL"), "the usual speed of such a machine is not known"),
        (judged(300.0, size=GIB), "the largest message that was tried is too small to judge it"),
    ],
)
def test_an_unknown_machine_is_shown_and_not_judged(answer: Any, why: str) -> None:
    assert answer.passed
    assert answer.summary.endswith(f"GB/s of bus bandwidth; {why}")


def test_without_memory_nothing_is_claimed_to_be_right() -> None:
    assert not check.judge([], (SXM, 8, True)).passed


def test_the_machine_is_that_of_the_used_gpus() -> None:
    gpus = [
        {"id": str(number), "name": name} for number, name in enumerate((SXM, "NVIDIA L4", SXM))
    ]
    links = {"pairs": [{"a": "0", "b": "2", "kind": "NV18"}, {"a": "0", "b": "1", "kind": "SYS"}]}
    context = Context(profile="cuda", scratch="", facts={"gpus": gpus, "gpu_links": links})
    assert check.machine(context, ("0", "2")) == (SXM, 2, True)
    assert check.machine(context, ("0", "1")) == ("", 2, False)
    assert check.machine(Context(profile="cuda", scratch=""), ("0", "1")) == ("", 2, False)


def test_a_group_is_timed_for_real(real_vllm: real.Vllm, tmp_path: Path) -> None:
    code = """
        from pathlib import Path
        from checks import _ranks, collective_speed
        asked = {"backend": "gloo", "count": 2, "sizes": [2**16, 2**20]}
        tried = _ranks.run_group(asked, Path(sys.argv[1]) / "speed", {})
        results = [tried.outcome, tried.problem, collective_speed.rows(collective_speed.slowest(tried.messages), 2)]
    """
    how, what, rows = real_vllm.answers(code, str(tmp_path))
    assert (how, what) == ("healthy", "")
    assert [row["bytes"] for row in rows] == [2**16, 2**20]
    for row in rows:
        assert row["busbw_gb_per_s"] == row["algbw_gb_per_s"], "with two they are the same"


@twin_of("collective_speed")
def test_a_group_that_does_not_come_through_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = _ranks.GroupRun(
        outcome="hangs", problem="all-reduce of 256 MiB, timed hangs on all 2 GPUs"
    )
    monkeypatch.setattr(_ranks, "run_group", lambda *_: hangs)
    answer = check.body(TWO)
    assert (answer.passed, answer.summary, answer.gpus) == (False, hangs.problem, ("0", "1"))


def test_bandwidths_are_figures_each_time_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[dict[str, Any]] = [{"size": GIB // 4, "times_us": [1000.0, 2000.0, 4000.0]}]
    monkeypatch.setattr(
        _ranks,
        "run_group",
        lambda *_: _ranks.GroupRun(outcome="healthy", problem="", messages=[words, words]),
    )
    answer = check.body(TWO)
    (figure,) = answer.figures
    assert (answer.passed, answer.gpus) == (True, ("0", "1"))
    assert (figure.name, figure.unit, figure.of) == ("all-reduce", "GB/s", {"size": "0.25 GiB"})
    assert (figure.value, figure.samples) == (134.22, (268.44, 134.22, 67.109))
