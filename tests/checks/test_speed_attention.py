"""speed_attention: what is called slow, what is only told, and a run on the CPU."""

from __future__ import annotations

from typing import Any

import pytest

from checks import _figures, speed_attention
from tests.checks import real

HEALTHY = {"eager": 35.0, "SDPA flash": 300.0, "SDPA cuDNN": 520.0}


def ways(**changed: float | None) -> dict[int, dict[str, Any]]:
    names = {"eager": "eager", "flash": "SDPA flash", "cudnn": "SDPA cuDNN"}
    speeds = {**HEALTHY, **{names[name]: speed for name, speed in changed.items()}}
    told = {name: {"tflops": speed} if speed else {"none": "OutOfMemoryError"} for name, speed in speeds.items()}
    return {512: {"eager": {"none": "not judged"}}, 8192: told}


@pytest.mark.parametrize(
    ("changed", "capability", "says"),
    [
        ({}, (9, 0), ""),
        ({"eager": None}, (9, 0), ""),
        ({"cudnn": None}, (9, 0), ""),
        ({"cudnn": 250.0}, (8, 0), ""),
        ({"cudnn": 250.0}, (9, 0), "at 8192 tokens cuDNN does 250 TFLOP/s, and torch's flash 300"),
        (
            {"flash": 90.0, "cudnn": 120.0},
            (9, 0),
            "at 8192 tokens the best attention, SDPA cuDNN, does 120 TFLOP/s, less than 0.2 of the 790 of a product",
        ),
        (
            {"eager": 300.0},
            (9, 0),
            "at 8192 tokens the best attention, SDPA cuDNN, does 520 TFLOP/s, less than twice the 300 of the eager one",
        ),
        ({"flash": None, "cudnn": None}, (9, 0), "at 8192 tokens no attention but the eager one runs"),
        ({"flash": None, "cudnn": None}, (7, 5), ""),
    ],
)
def test_what_is_unusual_is_named(changed: dict[str, float | None], capability: tuple[int, int], says: str) -> None:
    assert speed_attention.judge(790.0, ways(**changed), capability) == says


@real.needed
def test_a_cpu_is_shown_and_not_judged() -> None:
    found = real.answers("""
        from checks import speed_attention
        verdict = speed_attention.body(Context(profile="cpu", scratch=""))
        said["verdict"] = [verdict.passed, verdict.summary]
        said["cpu"] = verdict.evidence["devices"]["CPU"]
        full = lambda *_: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError("Tried to allocate 64 GiB"))
        said["full"] = speed_attention._speed(torch, "cpu", torch.bfloat16, 512, full, {"way": "full"}, backward=False)
        said["figures"] = verdict.figures
    """)
    assert found["verdict"] == [True, "attention measured on CPU; shown, not judged"]
    said, (word,) = found["full"]
    assert said == {"none": "OutOfMemoryError: Tried to allocate 64 GiB"}
    assert (word["name"], word["value"], word["of"]) == ("attention", "OutOfMemoryError", {"way": "full"})
    assert not _figures.wrong([*found["figures"], word])
    told = {(one["name"], one["unit"], one["of"].get("way"), one["of"].get("pass")) for one in found["figures"]}
    ways = [(way, each) for way in ("eager", "SDPA flash") for each in ("forward", "backward")]
    rates = {("attention", "TFLOP/s", *each) for each in ways}
    assert told == rates | {("attention time", "ms", *each) for each in ways} | {("product", "TFLOP/s", None, None)}
    assert {(one["of"]["on"], one["of"].get("tokens", "512")) for one in found["figures"]} == {("CPU", "512")}
    for way in ("forward", "backward"):
        assert {name: each["tflops"] > 0 for name, each in found["cpu"][way]["512"].items()} == {
            "eager": True,
            "SDPA flash": True,
        }
