"""The choice of flash-attn: a wheel that fits, else one to look up, else a build, else none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from provision.flash_attn.choose import candidate_name
from provision.plan._model import Plan, Refusal
from tests.flash_attn.test_match import BUILT
from tests.plan.described import CATALOGUE, no_plan, rejected, version
from tests.plan.described import plan as plan_for
from tests.plan.recordings import gpu, with_gpus
from tests.plan.recordings import no_plan as none_recorded
from tests.plan.recordings import plan as recorded

H100 = "{name: NVIDIA H100 80GB HBM3}"
A100 = "{name: NVIDIA A100-SXM4-80GB}"
CERTAIN = "sources.github=false"  # no published wheel can be looked up then
MEMINFO, CGROUP = "file /proc/meminfo", "probe cgroup_memory"


def refused(name: str, reason: str = "it is not there") -> Refusal:
    return Refusal(package="flash-attn", version=name, reason=reason)


def without_doubtful(*settings: str, **host: object) -> tuple[Plan, list[str]]:
    """Return the plan once every unknown wheel proved to be missing, and the names of these."""
    missing: list[Refusal] = []
    while (
        plan := plan_for(H100, *settings, refusals=tuple(missing), **host)
    ).flash_attn.published == "unknown":
        missing.append(refused(candidate_name(plan)))
    return plan, [refusal.version for refusal in missing]


def with_memory(cores: int, available_gb: float, limit_gb: float | None = None) -> dict[str, Any]:
    """Return a recorded host with one H100."""
    kib, limit = round(available_gb * 2**20), [str(round(limit_gb * 2**30))] if limit_gb else []
    processors = "\n\n".join(
        f"processor\t: {i}\nphysical id\t: 0\ncore id\t: {i}" for i in range(cores)
    )
    readings: dict[str, Any] = {
        MEMINFO: f"MemTotal: {kib * 2} kB\nMemAvailable: {kib} kB\n",
        CGROUP: {"limits": limit},
    }
    return with_gpus(gpu()) | readings | {"file /proc/cpuinfo": processors}


@pytest.mark.parametrize(
    ("settings", "python", "machine", "chosen"),
    [
        (["vllm=0.11.0"], "3.12", "x86_64", ("wheel", "2.8.3.post1")),  # torch 2.8, CUDA 12
        (["vllm=0.8.5"], "3.12", "x86_64", ("wheel", "2.8.3.post1")),  # torch 2.6 with the old ABI
        # torch 2.10, CUDA 13: for one Python only
        (["vllm=0.19.1", "cuda=13.0"], "3.12", "x86_64", ("wheel", "2.8.3")),
        (["vllm=0.19.1", "cuda=13.0"], "3.11", "x86_64", ("build", "2.8.3.post2")),
        (["vllm=0.19.1", "cuda=13.0"], "3.12", "aarch64", ("wheel", "2.8.3")),
        # torch 2.10, CUDA 12: never published
        (["vllm=0.19.1"], "3.12", "x86_64", ("build", "2.8.3.post2")),
        ([], "3.12", "x86_64", ("build", "2.8.3.post2")),  # torch 2.14
    ],
)
def test_wheel_or_build(
    settings: list[str], python: str, machine: str, chosen: tuple[str, str]
) -> None:
    plan, _ = without_doubtful(*settings, python=python, machine=machine)
    assert (plan.flash_attn.mode, version(plan, "flash-attn")) == chosen
    assert "vLLM brings its own FlashAttention" in plan.flash_attn.why


def test_a_misnamed_wheel_is_named() -> None:
    plan = plan_for(A100, "vllm=0.13.0", "cuda=13.0")
    assert version(plan, "flash-attn") == "2.8.3.post1"
    assert "its file is named 2.8.3" in plan.flash_attn.why


def test_none_for_a_gpu_below_8_0() -> None:
    for gpus in ("{name: Tesla T4}", f"{{name: Tesla T4}}, {A100}"):
        plan = plan_for(gpus, "gpus=all")
        assert plan.flash_attn.mode == "none"
        assert plan.packages["flash-attn"] is None
        assert "7.5" in plan.flash_attn.why
        assert "SDPA" in plan.flash_attn.why


def test_an_excluded_gpu_does_not_count() -> None:
    assert plan_for(f"{{name: Tesla V100-SXM2-16GB}}, {A100}", CERTAIN).flash_attn.mode == "build"


def test_a_build_is_for_the_architectures_of_this_host_only() -> None:
    assert plan_for("{name: NVIDIA L40S}", CERTAIN).flash_attn.arches == ("8.0",)
    assert plan_for("{name: NVIDIA GB10}", CERTAIN, machine="aarch64").flash_attn.arches == (
        "12.0",
    )
    assert plan_for(f"{A100}, {H100}", CERTAIN).flash_attn.arches == ("8.0", "9.0")
    assert "5.4 CPU hours" in plan_for(f"{A100}, {H100}", CERTAIN).flash_attn.why


def test_none_for_an_architecture_unknown_to_the_source() -> None:
    plan = plan_for("{name: NVIDIA Thor}", machine="aarch64")
    assert plan.flash_attn.mode == "none"
    assert (
        "cannot be compiled for 11.0 (it knows 8.0 9.0 10.0 12.0): SDPA is used there"
        in plan.flash_attn.why
    )


def test_why_names_cxx20_if_torch_needs_it() -> None:
    assert "C++20" in plan_for(H100).flash_attn.why
    assert "C++20" not in plan_for(H100, "vllm=0.32.0").flash_attn.why


def test_an_old_glibc_rules_a_wheel_out() -> None:
    plan = plan_for(H100, "vllm=0.11.0", glibc="2.31")
    assert plan.flash_attn.mode == "build"
    assert "it needs glibc 2.32, and this host has 2.31" in rejected(plan, "flash-attn")


def test_no_published_wheel_without_github() -> None:
    plan = plan_for(H100, "vllm=0.11.0", "sources.github=false")
    assert plan.flash_attn.mode == "build"
    assert "the settings rule out GitHub" in rejected(plan, "flash-attn")


def test_third_party_wheels_only_if_allowed() -> None:
    assert "third_party: false" in rejected(plan_for(H100, "vllm=0.25.1"), "flash-attn")
    plan, names = without_doubtful("vllm=0.25.1", "flash_attn.third_party=true")
    assert names == [
        "flash_attn-2.8.3.post2+cu13torch2.11cxx11abiTRUE-cp312-cp312-linux_x86_64.whl"
    ]
    assert (plan.flash_attn.mode, version(plan, "flash-attn")) == ("wheel", "2.8.3")
    assert (plan.flash_attn.origin, plan.flash_attn.wheel[:31]) == (
        "third party",
        "flash_attn-2.8.3+cu130torch2.11",
    )
    assert "read after download" in plan.flash_attn.why


def test_an_unknown_wheel_is_looked_up_first_and_why_names_the_fallback() -> None:
    plan = plan_for(H100)
    newest = "flash_attn-2.8.3.post2+cu13torch2.14cxx11abiTRUE-cp312-cp312-linux_x86_64.whl"
    assert (
        plan.flash_attn.mode,
        plan.flash_attn.wheel,
        plan.flash_attn.origin,
    ) == ("wheel", newest, "authors")
    assert candidate_name(plan) == newest
    doubt = "its release's list of files has not been read; it is looked up first"
    assert f"if there is one ({doubt}); else it is compiled for 9.0" in plan.flash_attn.why
    last, names = without_doubtful()
    assert names == [newest, newest.replace("post2", "post1"), newest.replace(".post2", "")]
    assert (last.flash_attn.mode, candidate_name(last)) == ("build", "build of 2.8.3.post2")
    assert "it is not there" in rejected(last, "flash-attn")


def test_a_listed_wheel_comes_before_a_newer_unknown_one() -> None:
    plan = plan_for(H100, "vllm=0.11.0")
    assert version(plan, "flash-attn") == "2.8.3.post1"
    (first, *_) = rejected(plan, "flash-attn").splitlines()
    assert first.endswith("cp312-linux_x86_64.whl: its release's list of files has not been read")


@pytest.mark.parametrize(
    ("settings", "published"),
    [
        (["vllm=0.11.0"], "listed"),
        (["vllm=0.25.1", "flash_attn.third_party=true"], "unknown"),
        (["flash_attn.flavour=3"], "unknown"),
        (["flash_attn.flavour=4"], "listed"),
        ([], "unknown"),
        ([CERTAIN], None),  # a build
        (["flash_attn.mode=none"], None),
    ],
)
def test_a_plan_says_if_its_wheel_is_listed(settings: list[str], published: str | None) -> None:
    document = msgspec.to_builtins(plan_for(H100, *settings))
    assert document["flash_attn"].get("published") == published


def test_a_stored_wheel_is_not_published() -> None:
    stocked = msgspec.structs.replace(CATALOGUE, flash_attn=(BUILT, *CATALOGUE.flash_attn))
    plan = plan_for(H100, "vllm=0.32.0", catalogue=stocked)
    assert plan.flash_attn.origin == "store"
    assert plan.flash_attn.published is msgspec.UNSET


def test_a_plan_of_an_earlier_version_is_readable_and_stays_as_it_is() -> None:
    plan = plan_for(H100)
    assert plan.flash_attn.published == "unknown"
    flash = msgspec.structs.replace(plan.flash_attn, published=msgspec.UNSET)
    earlier = msgspec.json.encode(msgspec.structs.replace(plan, flash_attn=flash))
    assert b'"published"' not in earlier
    assert msgspec.json.encode(msgspec.json.decode(earlier, type=Plan)) == earlier


def test_refused_candidates_are_skipped_with_their_reason() -> None:
    first = plan_for(H100, "vllm=0.11.0")
    second = plan_for(
        H100, "vllm=0.11.0", refusals=(refused(candidate_name(first), "SHA-256 differs"),)
    )
    assert candidate_name(second) == candidate_name(first).replace(".post1", "")
    assert f"{candidate_name(first)}: SHA-256 differs" in rejected(second, "flash-attn")
    built = plan_for(H100, CERTAIN)
    none = plan_for(H100, CERTAIN, refusals=(refused(candidate_name(built), "nvcc was killed"),))
    assert (none.flash_attn.mode, none.packages["flash-attn"], candidate_name(none)) == (
        "none",
        None,
        "",
    )
    assert "nvcc was killed" in none.flash_attn.why


def test_a_list_covers_patch_releases_of_earlier_torch_minors() -> None:
    patch = next(row for row in CATALOGUE.torch if row.version == "2.13.0")
    patched = msgspec.structs.replace(patch, version="2.13.1", released="2026-10-01")
    vllm = tuple(
        msgspec.structs.replace(row, torch="2.13.1") if row.torch == "2.13.0" else row
        for row in CATALOGUE.vllm
    )
    later = msgspec.structs.replace(CATALOGUE, torch=(patched, *CATALOGUE.torch), vllm=vllm)
    plan = plan_for(H100, "vllm=0.32.0", catalogue=later)
    assert version(plan, "torch").startswith("2.13.1")
    assert "was released" not in rejected(plan, "flash-attn")


def test_refusals_of_flash_attn_and_vllm_are_separate() -> None:
    assert version(plan_for(H100, refusals=(refused("0.33.0"),))) == "0.33.0"
    of_vllm = Refusal(version=candidate_name(plan_for(H100)), reason="no")
    assert candidate_name(plan_for(H100, refusals=(of_vllm,))) == of_vllm.version
    on_a_cpu = plan_for("", driver=None, refusals=(refused("0.33.0"),))
    assert version(on_a_cpu).startswith("0.33.0")


def test_a_stored_wheel_comes_first_and_needs_no_source() -> None:
    stocked = msgspec.structs.replace(CATALOGUE, flash_attn=(BUILT, *CATALOGUE.flash_attn))
    offline = "sources: {github: false, vllm: false, pytorch: false}"
    for settings in (
        ("flash_attn.mode=auto",),
        ("flash_attn.mode=wheel",),
        ("flash_attn.mode=build",),
    ):
        plan = plan_for(H100, "vllm=0.32.0", *settings, catalogue=stocked, more=offline)
        package = plan.packages["flash-attn"]
        assert package
        assert (package.version, package.source, package.distribution) == (
            "2.8.3.post2",
            "find-links",
            None,
        )
        assert (plan.flash_attn.mode, plan.flash_attn.origin) == ("wheel", "store")
        assert plan.flash_attn.wheel == candidate_name(plan) == BUILT.file
        assert "built here on 2026-11-20" in plan.flash_attn.why
        assert not rejected(plan, "flash-attn")
    other = plan_for(H100, "vllm=0.33.0", CERTAIN, catalogue=stocked)
    assert f"{BUILT.file}: for torch 2.13.0, not 2.14.0" in rejected(other, "flash-attn")
    broken = plan_for(
        H100,
        "vllm=0.32.0",
        CERTAIN,
        catalogue=stocked,
        refusals=(refused(BUILT.file, "does not load"),),
    )
    assert broken.flash_attn.mode == "build"
    downloaded = msgspec.structs.replace(BUILT, source="downloaded", third_party=True)
    stocked = msgspec.structs.replace(CATALOGUE, flash_attn=(downloaded, *CATALOGUE.flash_attn))
    assert plan_for(H100, "vllm=0.32.0", CERTAIN, catalogue=stocked).flash_attn.mode == "build"
    compiled = plan_for(
        H100,
        "vllm=0.32.0",
        "flash_attn.third_party=true",
        "flash_attn.mode=build",
        catalogue=stocked,
    )
    assert compiled.flash_attn.mode == "build", "only what was built here is as good as a build"


def test_why_estimates_the_build_on_a_known_host() -> None:
    plan = recorded(with_memory(cores=2, available_gb=60), CERTAIN)
    assert (
        "about 2.7 CPU hours: about 1.4 h here with 2 jobs, 14 GB of memory, 7 GB of disk"
        in plan.flash_attn.why
    )
    limited = recorded(with_memory(cores=16, available_gb=60, limit_gb=9), CERTAIN)
    assert "with 1 job, 7 GB of memory" in limited.flash_attn.why
    shared = with_memory(cores=16, available_gb=60)
    used = {CGROUP: {"limits": [str(30 * 2**30)], "used": [21 * 2**30]}}
    assert "with 1 job, 7 GB of memory" in recorded(shared | used, CERTAIN).flash_attn.why
    quota = {"probe cgroup_cpu": {"quotas": ["350000 100000"]}}
    assert "with 3 jobs, 21 GB of memory" in recorded(shared | quota, CERTAIN).flash_attn.why


def test_no_build_without_memory_for_one_file() -> None:
    small = recorded(with_memory(cores=4, available_gb=5.2), CERTAIN)
    assert small.flash_attn.mode == "none"
    assert "compiling one file needs 7 GB" in rejected(small, "flash-attn")
    assert "5.2 GB free: free some memory, or build on another host" in small.flash_attn.why
    required = none_recorded(
        with_memory(cores=4, available_gb=5.2), CERTAIN, "flash_attn.mode=require"
    )
    assert "5.2 GB free" in required.unsupported[0].reasons[0]


def test_no_build_without_a_compiler() -> None:
    def with_compilers(*versions: str) -> dict[str, Any]:
        compilers = [
            {"path": "/usr/bin/g++", "says": f"g++ (Debian {release}) {release}\nCopyright"}
            for release in versions
        ]
        return with_memory(cores=16, available_gb=60) | {"probe compilers": compilers}

    no_nvcc = recorded(with_compilers("12.2.0"), CERTAIN, "cuda=12.9")
    assert no_nvcc.flash_attn.mode == "none"
    assert (
        "compiling for this torch needs the CUDA toolkit 12.9; this host has none"
        in no_nvcc.flash_attn.why
    )
    assert recorded(with_compilers("12.2.0"), CERTAIN).flash_attn.mode == "build", (
        "PyPI has the nvcc of CUDA 13"
    )
    no_compiler = recorded(with_compilers(), CERTAIN)
    assert no_compiler.flash_attn.mode == "none"
    assert "need g++ " in no_compiler.flash_attn.why
    assert "this host has none: install it" in no_compiler.flash_attn.why


def test_modes() -> None:
    assert plan_for(H100, "flash_attn.mode=none").flash_attn.why.startswith("config asks for none")
    assert plan_for(H100, "vllm=0.11.0", "flash_attn.mode=build").flash_attn.mode == "build"
    assert plan_for(H100, "flash_attn.mode=wheel", CERTAIN).flash_attn.mode == "none"
    assert plan_for(H100, "flash_attn.build=no", CERTAIN).flash_attn.mode == "none"
    assert "vLLM does not wait" in plan_for(H100, CERTAIN).flash_attn.why
    assert (
        "vLLM does not wait" not in plan_for(H100, CERTAIN, "flash_attn.build=now").flash_attn.why
    )
    assert plan_for(H100, "flash_attn.mode=require", CERTAIN).flash_attn.mode == "build"


def test_a_required_flash_attn_fails_with_every_reason() -> None:
    (turing,) = no_plan("{name: Tesla T4}", "flash_attn.mode=require").unsupported
    assert (turing.subject, "SDPA is used there" in turing.reasons[0]) == ("flash-attn", True)
    missing = refused("build of 2.8.3.post2", "nvcc was killed")
    (refusal,) = no_plan(H100, "flash_attn.mode=require", CERTAIN, refusals=(missing,)).unsupported
    assert refusal.subject == "flash-attn"
    assert refusal.reasons[0].startswith("nvcc was killed")
    assert "published wheels: the settings rule out GitHub" in refusal.reasons
    three = refused("flash_attn_3==3.0.0", "no flash-attn-3 on this index")
    (index,) = no_plan(
        H100, "flash_attn.mode=require", "flash_attn.flavour=3", refusals=(three,)
    ).unsupported
    assert "flash_attn_3==3.0.0: no flash-attn-3 on this index" in index.reasons


def test_flavours() -> None:
    three = plan_for(H100, "flash_attn.flavour=3")
    assert (three.flash_attn.mode, version(three, "flash-attn"), three.flash_attn.flavour) == (
        "wheel",
        "3.0.0",
        "3",
    )
    assert candidate_name(three) == "flash_attn_3==3.0.0"
    assert "for Hopper" in plan_for(A100, "flash_attn.flavour=3").flash_attn.why
    four = plan_for(H100, "flash_attn.flavour=4")
    assert (candidate_name(four), four.flash_attn.wheel) == ("flash-attn-4==4.0.0b36", "")
    assert (
        plan_for(
            H100, "flash_attn.flavour=4", refusals=(refused(candidate_name(four)),)
        ).flash_attn.mode
        == "none"
    )


@pytest.mark.parametrize("vllm", ["0.13.0", "0.19.1", "0.23.0"])
def test_none_for_a_vllm_that_it_breaks(vllm: str) -> None:
    plan = plan_for(H100, "flash_attn.flavour=4", f"vllm={vllm}")
    assert plan.flash_attn.mode == "none"
    assert "rotary embedding" in plan.flash_attn.why
    (required,) = no_plan(
        H100, "flash_attn.flavour=4", f"vllm={vllm}", "flash_attn.mode=require"
    ).unsupported
    assert "rotary embedding" in required.reasons[0]


@pytest.mark.parametrize("vllm", ["0.12.0", "0.24.0", "0.33.0"])
def test_a_wheel_for_a_vllm_that_it_does_not_break(vllm: str) -> None:
    assert plan_for(H100, "flash_attn.flavour=4", f"vllm={vllm}").flash_attn.mode == "wheel"


def test_why_names_the_use_for_this_vllm() -> None:
    assert "vision part of some models" in plan_for(H100, "vllm=0.8.5").flash_attn.why
    assert "vision" not in plan_for(H100).flash_attn.why


def test_why_names_the_harm_of_a_broken_copy() -> None:
    assert "keeps vLLM from starting" in plan_for(H100).flash_attn.why
    assert "keeps vLLM from starting" not in plan_for(H100, "vllm=0.11.0").flash_attn.why


def test_none_on_a_cpu() -> None:
    plan = plan_for("", driver=None)
    assert plan.flash_attn.mode == "none"
    assert "SDPA" in plan.flash_attn.why
