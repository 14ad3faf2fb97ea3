"""Every refusal ends with a change that helps, whatever the host and the settings."""

from __future__ import annotations

import itertools

import pytest

from provision.plan._model import Unsupported
from tests.plan.described import no_plan, result
from tests.plan.recordings import gpu, with_gpus
from tests.plan.recordings import no_plan as no_plan_of

GPUS = ("NVIDIA L40S", "NVIDIA B300", "Tesla T4", "Tesla P40", "Orin (nvgpu)")
SETTINGS = ((), ("vllm=0.6.0",), ("cuda=13.0",), ("profile=cuda",), ("flash_attn.mode=require",))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "ppc64le"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_every_refusal_has_advice(machine: str, settings: tuple[str, ...]) -> None:
    refused = 0
    for name, driver, glibc in itertools.product(
        (*GPUS, ""), (None, "470.82.01", "595.45"), ("2.17", "2.39")
    ):
        gpus = f"{{name: {name}}}" if name else ""
        made = result(gpus, *settings, driver=driver, glibc=glibc, machine=machine, python="3.9")
        if isinstance(made, Unsupported):
            refused += 1
            assert made.advice, (name, driver, glibc)
    assert refused > 5


def test_settings_and_the_host_may_both_have_to_change() -> None:
    made = no_plan("{name: NVIDIA L40S}", "vllm=0.33.0", driver="470.82.01")
    (first, *_) = made.advice
    assert "driver" in first
    made = no_plan("{name: NVIDIA B300}", "vllm=0.6.0", driver="470.82.01")
    assert made.advice[0].startswith("without `vllm: 0.6.0` in the settings, driver")


def test_settings_for_a_gpu_on_a_host_without_one() -> None:
    made = no_plan("", "profile=cuda", glibc="2.17", python="3.9", driver=None)
    assert made.advice == (
        "remove `profile: cuda` from the settings, or plan for a host with an NVIDIA GPU",
    )


def test_the_driver_of_an_integrated_gpu_comes_with_its_system() -> None:
    spark = with_gpus(gpu(0, "NVIDIA GB10", "12.1"), version="570.26")
    made = no_plan_of({**spark, "command uname -m": "aarch64\n"})
    assert any(
        "driver 580 or newer (with a newer JetPack or DGX OS)" in hint for hint in made.advice
    )
