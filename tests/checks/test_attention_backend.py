"""attention_backend: planned and taken backends, one answer per GPU, and a real vLLM on a CPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from checks import _planned_backend, _tiny_model
from checks import attention_backend as check
from checks._contract import Context
from tests.checks import real
from tests.checks.environments import SmallEnvironment
from tests.checks.twins import twin_of

FLASH, TRITON = {"backend": "FLASH_ATTN"}, {"backend": "TRITON_ATTN"}


@pytest.mark.parametrize(
    ("planned", "found", "passed", "says"),
    [
        (
            {"0": "FLASH_ATTN", "1": "FLASH_ATTN"},
            {"0": FLASH, "1": FLASH},
            True,
            "vLLM takes FLASH_ATTN, as planned",
        ),
        (
            {"0": "FLASH_ATTN", "1": "FLASH_ATTN"},
            {"0": FLASH, "1": TRITON},
            False,
            "GPU 1: vLLM takes TRITON_ATTN, and FLASH_ATTN was planned",
        ),
        (
            {"0": "FLASH_ATTN", "3": "TRITON_ATTN"},
            {"0": FLASH, "3": TRITON},
            True,
            "vLLM takes FLASH_ATTN and TRITON_ATTN, as planned",
        ),
        ({}, {"": {"backend": "CPU_ATTN"}}, True, "vLLM takes CPU_ATTN, the plan names none"),
        (
            {"0": "X"},
            {"0": {"problem": "ValueError: []"}},
            False,
            "GPU 0: vLLM names no attention backend: ValueError",
        ),
    ],
)
def test_the_backend_is_compared_with_the_plan(
    planned: dict[str, str], found: dict[str, dict[str, Any]], passed: bool, says: str
) -> None:
    verdict = check.judge(planned, found)
    assert verdict.passed is passed
    assert verdict.summary.startswith(says)


def test_each_gpu_is_asked_where_it_is_alone(tmp_path: Path) -> None:
    def ask(_: dict[str, object]) -> dict[str, Any]:
        gpu = os.environ["CUDA_VISIBLE_DEVICES"]
        if gpu == "4":
            raise RuntimeError("no kernel\nat all")
        if gpu == "5":
            os._exit(3)
        return {"backend": f"of {gpu}"}

    context = Context(profile="cuda", scratch=str(tmp_path), gpus=("1", "4", "5"))
    assert check.ask_each(context, {}, ask) == {
        "1": {"backend": "of 1"},
        "4": {"problem": "RuntimeError: no kernel"},
        "5": {"problem": "no answer, status 3"},
    }


@twin_of("attention_backend")
def test_every_gpu_has_an_answer_by_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(_: dict[str, object]) -> dict[str, Any]:
        if os.environ["CUDA_VISIBLE_DEVICES"].endswith("3"):
            raise RuntimeError("no kernel")
        return {"backend": os.environ["CUDA_VISIBLE_DEVICES"]}

    def verdict(*gpus: str) -> Any:
        (scratch := tmp_path / str(len(list(tmp_path.iterdir())))).mkdir()
        return check.body(Context(profile="cuda", scratch=str(scratch), gpus=gpus))

    monkeypatch.setattr(_tiny_model, "apply_environment", lambda _: None)
    monkeypatch.setattr(check, "ask_vllm", ask)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "all")
    result = verdict("GPU-1a", "GPU-2b")
    assert result.gpus == ("GPU-1a", "GPU-2b")
    assert [(figure.name, figure.value, figure.of) for figure in result.figures] == [
        ("backend", "GPU-1a", {"on": "GPU 0"}),
        ("backend", "GPU-2b", {"on": "GPU 1"}),
    ]
    assert list(result.evidence["found"]) == ["GPU 0", "GPU 1"], (
        "a report names no card in the world"
    )
    half = verdict("2", "3")
    assert (half.passed, half.gpus, len(half.figures)) == (False, ("2", "3"), 1)
    assert (verdict("0:0", "0:1").gpus, verdict("MIG-a", "MIG-b").gpus) == (("0:0",), ("MIG-a",))


def test_a_vllm_that_cannot_be_asked_is_a_warning(tmp_path: Path) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    environment.install("torch", "2", {"torch.py": ""})
    environment.install("vllm", "9", {"vllm/__init__.py": ""})
    result = environment.check("attention_backend")
    assert result.outcome == "warn"
    assert "ModuleNotFoundError: No module named 'vllm.engine'" in result.summary


def test_a_real_vllm_names_its_backend(brought_up: real.BroughtUp) -> None:
    result = brought_up.check("attention_backend")
    (word,) = [figure for figure in brought_up.report.figures if figure.check == result.name]
    assert (word.name, word.value, word.of) == ("backend", "CPU_ATTN", {"on": "CPU"})
    assert (result.outcome, result.summary) == ("pass", "vLLM takes CPU_ATTN, the plan names none")


def test_an_engine_that_took_another_says_so() -> None:
    plan = {
        "attention": [{"gpu": "0", "backend": "FLASH_ATTN"}, {"gpu": "1", "backend": "TRITON_ATTN"}]
    }
    context = Context(profile="cuda", scratch="", gpus=("0", "1"), plan=plan)
    assert _planned_backend.describe_deviation(context, ["FLASH_ATTN"]) == ""
    assert _planned_backend.describe_deviation(context, ["FLASH_ATTN_VLLM_V1"]) == ""
    assert _planned_backend.describe_deviation(context, []) == "", "it has not said"
    message = "; it took FLASHINFER, and FLASH_ATTN was planned"
    assert _planned_backend.describe_deviation(context, ["FLASHINFER"]) == message
    assert (
        _planned_backend.describe_deviation(Context(profile="cpu", scratch=""), ["CPU_ATTN"]) == ""
    ), "the plan names none"
