"""attn_implementation: the named implementation, its kernels, and wrong attention that fails."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from checks import attn_implementation as check
from checks._contract import Context
from tests.checks import real
from tests.checks.environments import SmallEnvironment
from tests.checks.twins import twin_of

GOOD = {"device": "GPU 0 (H100)", "kernels": ["flash_fwd_kernel"], "of_allowed": 0.3}
NOT_THERE = {
    "device": "GPU 0 (H100)",
    "absent": "the package flash-attn is not in this environment",
}


def verdict(
    flash: dict[str, Any], sdpa: dict[str, Any] = GOOD, eager: dict[str, Any] = GOOD
) -> tuple[bool, str]:
    result = check.judge({"flash_attention_2": [flash], "sdpa": [sdpa], "eager": [eager]}, "5.0")
    return result.passed, result.summary


def test_the_best_that_runs_is_named() -> None:
    assert verdict(GOOD) == (
        True,
        "set attn_implementation='flash_attention_2': it ran flash_fwd_kernel, and flash_attention_2, sdpa and eager agree",
    )
    passed, summary = verdict(NOT_THERE)
    assert passed
    assert summary.startswith(
        "set attn_implementation='sdpa': it ran flash_fwd_kernel, and sdpa and eager agree; "
    )
    assert summary.endswith(
        "; flash_attention_2 cannot run here: the package flash-attn is not in this environment"
    )
    assert "the profiler saw no attention kernel" in verdict(NOT_THERE, {**GOOD, "kernels": []})[1]


@twin_of("attn_implementation")
def test_a_wrong_implementation_fails_and_another_is_named() -> None:
    wrong = {"device": "GPU 1 (L4)", "problem": "off by 1, and 0.1 is allowed"}
    passed, summary = verdict(GOOD, wrong)
    assert not passed
    assert (
        summary
        == "sdpa: GPU 1 (L4): off by 1, and 0.1 is allowed; set attn_implementation='flash_attention_2'"
    )
    assert verdict(wrong, wrong, wrong)[1].count("off by 1") == 3


def test_one_gpu_without_it_is_enough_to_name_another() -> None:
    old = {"device": "GPU 1 (V100)", "absent": "it needs compute capability 8.0, and 7.0 is here"}
    result = check.judge(
        {"flash_attention_2": [GOOD, old], "sdpa": [GOOD, GOOD], "eager": [GOOD, GOOD]}, "5.0"
    )
    assert result.evidence["set"] == "sdpa"


def test_without_any_device_nothing_is_named() -> None:
    assert (
        check.judge({"flash_attention_2": [], "sdpa": [], "eager": []}, "5.0").summary
        == "torch sees no GPU"
    )


@pytest.mark.parametrize(
    ("capability", "package", "why"),
    [
        ((8, 0), "json", ""),
        ((7, 5), "json", "it needs compute capability 8.0, and 7.5 is here"),
        ((9, 0), None, "the package flash-attn is not in this environment"),
    ],
)
def test_why_flash_attention_is_not_possible(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], package: str | None, why: str
) -> None:
    torch = SimpleNamespace(cuda=SimpleNamespace(get_device_capability=lambda _: capability))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: package)
    assert check._why_no_flash(torch, "cuda:0") == why
    assert check._why_no_flash(torch, "cpu") == "it needs a GPU"


def test_the_folder_of_flash_attention_4_is_not_that_of_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flash_attn" / "cute").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    torch = SimpleNamespace(cuda=SimpleNamespace(get_device_capability=lambda _: (9, 0)))
    assert (
        check._why_no_flash(torch, "cuda:0") == "the package flash-attn is not in this environment"
    )
    (tmp_path / "flash_attn_2_cuda.py").touch()
    importlib.invalidate_caches()
    assert check._why_no_flash(torch, "cuda:0") == ""


def test_one_gpu_of_each_kind_is_tried() -> None:
    kinds = [(8, 0), (9, 0), (8, 0)]
    cuda = SimpleNamespace(
        device_count=lambda: 3,
        get_device_capability=lambda n: kinds[n],
        get_device_name=lambda n: f"kind {kinds[n]}",
    )
    devices = list(
        check._devices_to_try(SimpleNamespace(cuda=cuda), Context(profile="cuda", scratch=""))
    )
    assert devices == [("cuda:0", "GPU 0 (kind (8, 0))"), ("cuda:1", "GPU 1 (kind (9, 0))")]


def event(name: str, *children: Any, device: str = "CPU") -> Any:
    return SimpleNamespace(name=name, cpu_children=list(children), device_type=device)


def test_kernels_of_the_gpu_or_else_the_innermost_operators() -> None:
    torch = SimpleNamespace(autograd=SimpleNamespace(DeviceType=SimpleNamespace(CUDA="CUDA")))
    inner = event("aten::_scaled_dot_product_attention_math", event("aten::bmm"))
    operators = [event("aten::scaled_dot_product_attention", inner), inner, event("aten::bmm")]
    assert check._kernels(torch, operators) == ["aten::_scaled_dot_product_attention_math"]
    kernels = [
        event("void flash_fwd_kernel<128>", device="CUDA"),
        event("Memcpy DtoD", device="CUDA"),
    ]
    assert check._kernels(torch, operators + kernels) == ["void flash_fwd_kernel<128>"]


def test_without_transformers_there_is_nothing_to_decide(tmp_path: Path) -> None:
    result = SmallEnvironment(tmp_path / "env").check("attn_implementation")
    assert (result.outcome, result.summary) == (
        "skip",
        "needs torch and transformers in this environment",
    )


def test_a_transformers_that_cannot_be_asked_is_a_warning(tmp_path: Path) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    environment.install("torch", "2", {"torch.py": ""})
    environment.install("transformers", "9", {"transformers.py": "__version__ = '9'\n"})
    result = environment.check("attn_implementation")
    answer = "transformers cannot be tried: AttributeError: module 'transformers' has no attribute 'AutoConfig'"
    assert (result.outcome, result.summary) == ("warn", answer)


# What a sabotaged attention does instead, and what is said of it.
SABOTAGE = {
    "return sdpa(module, query, key, value, mask, **settings)": "True set attn_implementation='sdpa'",
    "return sdpa(module, query, key, value * 1.01, mask, **settings)": "False sdpa: CPU: off by",
    "return sdpa(module, query, key, value, None, **{**settings, 'is_causal': False})": "False sdpa: CPU: off by",
    "return sdpa(module, query, key.flip(2), value * float('nan'), mask, **settings)": "False sdpa: CPU: off by nan",
    "raise RuntimeError('no kernel')": "False sdpa: CPU: RuntimeError: no kernel; set attn_implementation='eager'",
}


@twin_of("attn_implementation")
def test_a_wrong_attention_is_found_out(real_vllm: real.Vllm, tmp_path: Path) -> None:
    code = f"""
        import tempfile, transformers
        from checks import attn_implementation as check
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS as known
        sdpa = known["sdpa"]
        for change in {list(SABOTAGE)!r}:
            exec(f"def wrong(module, query, key, value, mask, **settings): {{change}}")
            known.register("sdpa", wrong)
            found = check.body(Context(profile="cpu", scratch=tempfile.mkdtemp(dir=sys.argv[1])))
            figures = [(one.name, one.value) for one in found.figures]
            results[change] = [f"{{found.passed}} {{found.summary}}", figures]
    """
    answer = real_vllm.answers(code, str(tmp_path))
    real.assert_says({change: summary for change, (summary, _) in answer.items()}, SABOTAGE)
    assert next(iter(answer.values()))[1] == [["attn_implementation", "sdpa"]]
