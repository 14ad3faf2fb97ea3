"""speed_attention: speeds that fail, speeds that are only shown, and a run on the CPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from checks import _figures, _timing, speed_attention
from tests.checks import real
from tests.checks.twins import twin_of

HEALTHY = {"eager": 35.0, "SDPA flash": 300.0, "SDPA cuDNN": 520.0}


def ways(**changed: float | None) -> dict[int, dict[str, Any]]:
    names = {"eager": "eager", "flash": "SDPA flash", "cudnn": "SDPA cuDNN"}
    speeds = {**HEALTHY, **{names[name]: speed for name, speed in changed.items()}}
    answer = {
        name: {"tflops": speed} if speed else {"none": "OutOfMemoryError"}
        for name, speed in speeds.items()
    }
    return {512: {"eager": {"none": "not judged"}}, 8192: answer}


@twin_of("speed_attention")
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
        (
            {"flash": None, "cudnn": None},
            (9, 0),
            "at 8192 tokens no attention but the eager one runs",
        ),
        ({"flash": None, "cudnn": None}, (7, 5), ""),
    ],
)
def test_unusual_speeds_are_named(
    changed: dict[str, float | None], capability: tuple[int, int], says: str
) -> None:
    assert speed_attention.judge(790.0, ways(**changed), capability) == says


def on_gpu(capability: tuple[int, int] = (9, 0), **more: Any) -> Any:
    return SimpleNamespace(
        cuda=SimpleNamespace(get_device_capability=lambda _: capability, **more), int32="int32"
    )


@pytest.mark.parametrize(
    ("capability", "here", "measured"),
    [
        (
            (9, 0),
            ("flash_attn_2_cuda", "flash_attn_interface", "flash_attn.cute"),
            ["", " 3", " 4"],
        ),
        ((8, 0), ("flash_attn_2_cuda", "flash_attn_interface", "flash_attn.cute"), [""]),
        ((10, 0), ("flash_attn_2_cuda", "flash_attn_interface", "flash_attn.cute"), ["", " 4"]),
        ((9, 0), ("flash_attn", "flash_attn.cute"), [" 4"]),  # nothing but the folder around it
        ((7, 5), ("flash_attn_2_cuda",), []),
    ],
)
def test_every_package_is_measured_where_it_has_code_for_the_gpu(
    capability: tuple[int, int],
    here: tuple[str, ...],
    measured: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in here else None)
    names = [name for name, _, _ in speed_attention._implementations(on_gpu(capability), "cuda:0")]
    assert [
        name.removeprefix("flash-attn") for name in names if name.startswith("flash-attn")
    ] == measured


def test_the_starts_of_sequences_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    torch = on_gpu()

    def arange(*given: int, **_: Any) -> Any:
        made.append(given)
        return given

    torch.arange = arange
    asked: list[dict[str, Any]] = []
    flash = SimpleNamespace(
        is_fa_version_supported=lambda _: True,
        flash_attn_varlen_func=lambda *_, **given: asked.append(given),
    )
    monkeypatch.setattr("importlib.import_module", lambda _: flash)
    query = SimpleNamespace(shape=(2, 512, 16, 128), device="cuda:0", flatten=lambda *_: "flat")
    way = speed_attention._VllmAttention(torch)
    for _ in range(3):
        way(query, query, query)
    assert made == [(0, 3 * 512, 512)]
    assert [item["cu_seqlens_q"] for item in asked] == [(0, 3 * 512, 512)] * 3


def test_the_peak_memory_is_that_of_one_untimed_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []

    def logged(word: str, answer: Any = None) -> Any:
        def call(*_: Any, **__: Any) -> Any:
            log.append(word)
            return answer

        return call

    tensor = SimpleNamespace(to=lambda _: SimpleNamespace(requires_grad_=lambda _: "given"))
    torch = on_gpu(
        reset_peak_memory_stats=logged("reset"), max_memory_allocated=logged("read", 96 * 2**20)
    )
    torch.randn = lambda *_, **__: tensor
    monkeypatch.setattr(_timing, "measure", logged("timed", _timing.Timing((1.0, 2.0), "as timed")))
    way = logged("call")
    answer, figures = speed_attention._speed(
        torch, "cuda:0", "bfloat16", 512, way, {"way": "one"}, backward=False
    )
    assert log == ["reset", "call", "read", "timed"]
    assert answer["peak_mb"] == 96
    assert [figure.value for figure in figures if figure.name == "attention memory"] == [96]


def test_a_cpu_is_shown_and_not_judged(real_vllm: real.Vllm) -> None:
    outcome = real_vllm.answers("""
        from checks import speed_attention
        verdict = speed_attention.body(Context(profile="cpu", scratch=""))
        results["verdict"] = [verdict.passed, verdict.summary]
        results["cpu"] = verdict.evidence["devices"]["CPU"]
        full = lambda *_: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError("Tried to allocate 64 GiB"))
        results["full"] = speed_attention._speed(torch, "cpu", torch.bfloat16, 512, full, {"way": "full"}, backward=False)
        results["figures"] = verdict.figures
    """)
    assert outcome["verdict"] == [True, "attention measured on CPU; shown, not judged"]
    result, (word,) = outcome["full"]
    assert result == {"none": "OutOfMemoryError: Tried to allocate 64 GiB"}
    assert (word["name"], word["value"], word["of"]) == (
        "attention",
        "OutOfMemoryError",
        {"way": "full"},
    )
    assert not _figures.problem([*outcome["figures"], word])
    answer = {
        (figure["name"], figure["unit"], figure["of"].get("way"), figure["of"].get("pass"))
        for figure in outcome["figures"]
    }
    ways = [(way, item) for way in ("eager", "SDPA flash") for item in ("forward", "backward")]
    rates = {("attention", "TFLOP/s", *item) for item in ways}
    assert answer == rates | {("attention time", "ms", *item) for item in ways} | {
        ("product", "TFLOP/s", None, None)
    }
    assert {
        (figure["of"]["on"], figure["of"].get("tokens", "512")) for figure in outcome["figures"]
    } == {("CPU", "512")}
    # Two sequences of 512 tokens, heads times width 2048, half masked:
    # 2 products of 2 * 512^2 * 2048 operations each.
    forward = 2 * 2 * 2 * 512**2 * 2048 / 2
    assert forward == 2_147_483_648
    counts = {"forward": forward, "backward": 2.5 * forward}
    figures = {
        (figure["name"], figure["of"].get("way"), figure["of"].get("pass")): figure
        for figure in outcome["figures"]
    }
    for (name, way, which), figure in figures.items():
        if name == "attention":
            times_ms = figures["attention time", way, which]["samples"]
            done = [
                1e9 * rate * took for rate, took in zip(figure["samples"], times_ms, strict=True)
            ]
            assert done == pytest.approx([counts[which]] * len(done), rel=1e-3)
    for way in ("forward", "backward"):
        assert {name: item["tflops"] > 0 for name, item in outcome["cpu"][way]["512"].items()} == {
            "eager": True,
            "SDPA flash": True,
        }
