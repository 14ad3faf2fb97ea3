"""speed_matmul: slow GPUs beside peers and published values; a CPU is only shown."""

from __future__ import annotations

import pytest

from checks import _figures, speed_matmul
from tests.checks import real
from tests.checks.twins import twin_of


@twin_of("speed_matmul")
def test_a_gpu_slower_than_its_peers_fails() -> None:
    healthy = {f"GPU {number} (NVIDIA H200)": 700.0 + 20 * number for number in range(4)}
    assert speed_matmul.judge(healthy) == []
    message = "GPU 3 (NVIDIA H200) does 590 TFLOP/s, and its peers here 710"
    assert speed_matmul.judge({**healthy, "GPU 3 (NVIDIA H200)": 590.0}) == [message]
    assert speed_matmul.judge({**healthy, "GPU 4 (NVIDIA L4)": 60.0}) == []


def test_all_of_them_may_be_slow() -> None:
    slow = {f"GPU {number} (NVIDIA A100-SXM4-80GB)": 120.0 for number in range(2)}
    assert [item.partition(" does ")[2] for item in speed_matmul.judge(slow)] == [
        "120 TFLOP/s, and 271 was published for it"
    ] * 2


def test_a_slice_is_not_compared_with_a_whole_gpu() -> None:
    assert speed_matmul.judge({"GPU 0 (NVIDIA H200 MIG 1g.18gb)": 95.0}) == []


def test_a_cpu_is_shown_and_not_judged(real_vllm: real.Vllm) -> None:
    result = real_vllm.answers("""
        from checks import speed_matmul
        verdict = speed_matmul.body(Context(profile="cpu", scratch=""))
        results["passed"], results["summary"], results["speed"] = verdict.passed, verdict.summary, verdict.evidence["devices"]["CPU"]["best_tflops"]
        results["figures"] = verdict.figures
        (results["timed"],) = verdict.evidence["devices"]["CPU"]["sizes"].values()
    """)
    assert result["passed"] is True
    assert result["speed"] * result["timed"]["median_us"] * 1e6 == pytest.approx(
        2 * 1024**3, rel=0.01
    )
    assert result["speed"] > 0
    (figure,) = result["figures"]
    assert not _figures.problem([figure])
    assert figure["value"] == pytest.approx(result["speed"], rel=0.01)
    assert (figure["name"], figure["unit"]) == ("product", "TFLOP/s")
    assert figure["of"] == {"on": "CPU", "size": "1024", "precision": "bfloat16"}
    assert result["summary"].startswith("CPU: ")
    assert result["summary"].endswith("TFLOP/s; shown, not judged")
