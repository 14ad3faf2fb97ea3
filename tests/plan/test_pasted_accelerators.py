"""Texts that people pasted into issues: what is answered on hosts that no plan is made for."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from provision.host import from_text
from provision.plan._model import Plan, Unsupported
from provision.session.planning import make_plan
from provision.settings import Settings
from tests.plan.described import CATALOGUE

PASTES = Path(__file__).parent / "pastes"


class Answer(NamedTuple):
    first: str
    ways: tuple[str, ...]
    impossible: tuple[str, ...] = ()


ANSWERS = {
    "amd-radeon": Answer(
        "AMD Radeon RX 7900 XTX (gfx1100): ",
        ("vllm/vllm-openai-rocm",),
        ("wheels.vllm.ai", "profile=cpu"),  # glibc 2.31
    ),
    "amd-blank-name": Answer(
        "AMD Instinct MI350 series (gfx950): ",
        ("wheels.vllm.ai/rocm", "vllm/vllm-openai-rocm", "profile=cpu"),
    ),
    "hygon": Answer("Hygon K100_AI (gfx928): ", ("DTK",), ("vllm-openai-rocm",)),
    "neuron": Answer("AWS Neuron device: ", ("vllm-neuron",), ("vllm-tpu",)),
    "intel-arc-on-wsl": Answer(
        "Intel Arc Pro B70 (8086:e223): ",
        ("VLLM_TARGET_DEVICE=xpu",),
        ("--device /dev/dri",),
    ),
    "jetson-without-gpu": Answer(
        "NVIDIA Jetson (kernel 5.10.120-tegra): its GPU is not named",
        ("JetPack 6 on Orin",),
        ("profile=cpu",),  # Python 3.8 and glibc 2.31
    ),
    "jetson-orin": Answer(
        "the Orin (nvgpu) (8.7): no published torch for aarch64 has code", ("JetPack 6 on Orin",)
    ),
    "windows": Answer("vllm-ready plans for Linux, and this host runs Windows", ("WSL 2",)),
}


def made(name: str) -> Plan | Unsupported:
    text = (PASTES / f"{name}.txt").read_text()
    return make_plan(from_text.parse(text, name), Settings(), CATALOGUE)


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_begins_with_the_device_and_ends_with_what_helps(name: str) -> None:
    answer, result = ANSWERS[name], made(name)
    assert isinstance(result, Unsupported)
    assert result.unsupported[0].reasons[0].startswith(answer.first)
    advice = "\n".join(result.advice)
    assert all(way in advice for way in answer.ways)
    assert not any(way in advice for way in answer.impossible)


def test_wsl_without_a_gpu_gets_the_cpu_and_a_word_about_windows() -> None:
    result = made("wsl-without-gpu")
    assert isinstance(result, Plan)
    assert result.profile == "cpu"
    assert any("driver of Windows" in warning for warning in result.warnings)


def test_every_paste_has_its_answer() -> None:
    assert {path.stem for path in PASTES.iterdir()} == {*ANSWERS, "wsl-without-gpu"}
