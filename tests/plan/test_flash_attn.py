"""flash-attn: the wheel that fits exactly, else a build for these GPUs, else none; each with its reason."""

from __future__ import annotations

import pytest

from tests.plan.described import no_plan, plan, rejected, version

H100 = "{name: NVIDIA H100 80GB HBM3}"
A100 = "{name: NVIDIA A100-SXM4-80GB}"


@pytest.mark.parametrize(
    ("settings", "python", "machine", "chosen"),
    [
        (["vllm=0.11.0"], "3.12", "x86_64", ("wheel", "2.8.3.post1")),  # torch 2.8, CUDA 12
        (["vllm=0.8.5"], "3.12", "x86_64", ("wheel", "2.8.3.post1")),  # torch 2.6 with the old ABI
        (["vllm=0.19.1", "cuda=13.0"], "3.12", "x86_64", ("wheel", "2.8.3")),  # torch 2.10, CUDA 13: one Python only
        (["vllm=0.19.1", "cuda=13.0"], "3.11", "x86_64", ("build", "2.8.3.post2")),
        (["vllm=0.19.1", "cuda=13.0"], "3.12", "aarch64", ("wheel", "2.8.3")),
        (["vllm=0.19.1"], "3.12", "x86_64", ("build", "2.8.3.post2")),  # torch 2.10, CUDA 12: nobody published one
        ([], "3.12", "x86_64", ("build", "2.8.3.post2")),  # torch 2.14
    ],
)
def test_wheel_or_build(settings: list[str], python: str, machine: str, chosen: tuple[str, str]) -> None:
    made = plan(H100, *settings, python=python, machine=machine)
    assert (made.flash_attn.mode, version(made, "flash-attn")) == chosen
    assert "vLLM brings its own FlashAttention" in made.flash_attn.why


def test_a_misnamed_wheel_is_named() -> None:
    made = plan(A100, "vllm=0.13.0", "cuda=13.0")
    assert version(made, "flash-attn") == "2.8.3.post1"
    assert "its file is named 2.8.3" in made.flash_attn.why


def test_a_gpu_below_8_0_means_none() -> None:
    for gpus in ("{name: Tesla T4}", f"{{name: Tesla T4}}, {A100}"):
        made = plan(gpus, "gpus=all")
        assert made.flash_attn.mode == "none"
        assert made.packages["flash-attn"] is None
        assert "7.5" in made.flash_attn.why
        assert "SDPA" in made.flash_attn.why


def test_a_gpu_that_is_left_out_does_not_count() -> None:
    assert plan(f"{{name: Tesla V100-SXM2-16GB}}, {A100}").flash_attn.mode == "build"


def test_compiled_for_the_architectures_of_this_host_only() -> None:
    assert plan("{name: NVIDIA L40S}").flash_attn.arches == ("8.0",)
    assert plan("{name: NVIDIA GB10}", machine="aarch64").flash_attn.arches == ("12.0",)
    assert plan(f"{A100}, {H100}").flash_attn.arches == ("8.0", "9.0")
    assert "5.4 CPU hours" in plan(f"{A100}, {H100}").flash_attn.why


def test_an_architecture_that_the_source_does_not_know() -> None:
    made = plan("{name: NVIDIA Thor}", machine="aarch64")
    assert made.flash_attn.mode == "none"
    assert "cannot be compiled for 11.0" in made.flash_attn.why


def test_cxx20_is_said_where_torch_asks_for_it() -> None:
    assert "C++20" in plan(H100).flash_attn.why
    assert "C++20" not in plan(H100, "vllm=0.32.0").flash_attn.why


def test_an_old_glibc_cannot_take_the_wheel() -> None:
    made = plan(H100, "vllm=0.11.0", glibc="2.31")
    assert made.flash_attn.mode == "build"
    assert "glibc 2.31: 2.32 needed" in rejected(made, "flash-attn")


def test_a_silent_github_has_no_wheels() -> None:
    made = plan(H100, "vllm=0.11.0", "sources.github=false")
    assert made.flash_attn.mode == "build"
    assert "the settings rule out GitHub" in rejected(made, "flash-attn")


def test_third_party_wheels_only_where_they_are_allowed() -> None:
    assert "third_party: false" in rejected(plan(H100, "vllm=0.25.1"), "flash-attn")
    made = plan(H100, "vllm=0.25.1", "flash_attn.third_party=true")
    assert (made.flash_attn.mode, version(made, "flash-attn")) == ("wheel", "2.8.3")
    assert "read after download" in made.flash_attn.why


def test_modes() -> None:
    assert plan(H100, "flash_attn.mode=none").flash_attn.why.startswith("config asks for none")
    assert plan(H100, "vllm=0.11.0", "flash_attn.mode=build").flash_attn.mode == "build"
    assert plan(H100, "flash_attn.mode=wheel").flash_attn.mode == "none"
    assert plan(H100, "flash_attn.build=no").flash_attn.mode == "none"
    refused = no_plan("{name: Tesla T4}", "flash_attn.mode=require")
    assert refused.unsupported[0].subject == "flash-attn"
    assert plan(H100, "flash_attn.mode=require").flash_attn.mode == "build"


def test_flavours() -> None:
    three = plan(H100, "flash_attn.flavour=3")
    assert (three.flash_attn.mode, version(three, "flash-attn"), three.flash_attn.flavour) == ("wheel", "3.0.0", "3")
    assert "for Hopper" in plan(A100, "flash_attn.flavour=3").flash_attn.why
    assert "rotary embedding" in plan(H100, "flash_attn.flavour=4", "vllm=0.20.0").flash_attn.why


def test_what_a_broken_copy_would_do_is_said() -> None:
    assert "keeps vLLM from starting" in plan(H100).flash_attn.why
    assert "keeps vLLM from starting" not in plan(H100, "vllm=0.11.0").flash_attn.why


def test_on_a_cpu_there_is_none() -> None:
    made = plan("", driver=None)
    assert made.flash_attn.mode == "none"
    assert "SDPA" in made.flash_attn.why
