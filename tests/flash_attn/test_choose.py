"""flash-attn: the wheel that fits exactly, else one to be asked for, else a build, else none; each with its reason."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from provision.flash_attn.choose import candidate_name
from provision.plan._model import Plan, Refusal
from tests.flash_attn.test_match import BUILT
from tests.plan.described import CATALOGUE, no_plan, plan, rejected, version
from tests.plan.recordings import gpu, with_gpus
from tests.plan.recordings import no_plan as none_recorded
from tests.plan.recordings import plan as recorded

H100 = "{name: NVIDIA H100 80GB HBM3}"
A100 = "{name: NVIDIA A100-SXM4-80GB}"
CERTAIN = "sources.github=false"  # nobody can be asked about wheels then
MEMINFO, CGROUP = "file /proc/meminfo", "probe cgroup_memory"


def refused(name: str, reason: str = "it is not there") -> Refusal:
    return Refusal(package="flash-attn", version=name, reason=reason)


def without_doubtful(*settings: str, **host: object) -> tuple[Plan, list[str]]:
    """The plan once every wheel that nobody knows of was asked for and is not there; and what was asked for."""
    met: list[Refusal] = []
    while "which is asked first" in (made := plan(H100, *settings, refusals=tuple(met), **host)).flash_attn.why:
        met.append(refused(candidate_name(made)))
    return made, [one.version for one in met]


def with_memory(cores: int, available_gb: float, limit_gb: float | None = None) -> dict[str, Any]:
    """A recorded host with one H100."""
    kib, limit = round(available_gb * 2**20), [str(round(limit_gb * 2**30))] if limit_gb else []
    processors = "\n\n".join(f"processor\t: {i}\nphysical id\t: 0\ncore id\t: {i}" for i in range(cores))
    asked: dict[str, Any] = {MEMINFO: f"MemTotal: {kib * 2} kB\nMemAvailable: {kib} kB\n", CGROUP: {"limits": limit}}
    return with_gpus(gpu()) | asked | {"file /proc/cpuinfo": processors}


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
    made, _ = without_doubtful(*settings, python=python, machine=machine)
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
    assert plan(f"{{name: Tesla V100-SXM2-16GB}}, {A100}", CERTAIN).flash_attn.mode == "build"


def test_compiled_for_the_architectures_of_this_host_only() -> None:
    assert plan("{name: NVIDIA L40S}", CERTAIN).flash_attn.arches == ("8.0",)
    assert plan("{name: NVIDIA GB10}", CERTAIN, machine="aarch64").flash_attn.arches == ("12.0",)
    assert plan(f"{A100}, {H100}", CERTAIN).flash_attn.arches == ("8.0", "9.0")
    assert "5.4 CPU hours" in plan(f"{A100}, {H100}", CERTAIN).flash_attn.why


def test_an_architecture_that_the_source_does_not_know() -> None:
    made = plan("{name: NVIDIA Thor}", machine="aarch64")
    assert made.flash_attn.mode == "none"
    assert "cannot be compiled for 11.0 (it knows 8.0 9.0 10.0 12.0): SDPA is used there" in made.flash_attn.why


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
    made, asked = without_doubtful("vllm=0.25.1", "flash_attn.third_party=true")
    assert asked == ["flash_attn-2.8.3.post2+cu13torch2.11cxx11abiTRUE-cp312-cp312-linux_x86_64.whl"]
    assert (made.flash_attn.mode, version(made, "flash-attn")) == ("wheel", "2.8.3")
    assert (made.flash_attn.origin, made.flash_attn.wheel[:31]) == ("third party", "flash_attn-2.8.3+cu130torch2.11")
    assert "read after download" in made.flash_attn.why


def test_a_wheel_that_nobody_knows_of_is_asked_for_and_what_follows_is_said() -> None:
    made = plan(H100)
    newest = "flash_attn-2.8.3.post2+cu13torch2.14cxx11abiTRUE-cp312-cp312-linux_x86_64.whl"
    assert (made.flash_attn.mode, made.flash_attn.wheel, made.flash_attn.origin) == ("wheel", newest, "authors")
    assert candidate_name(made) == newest
    said = "if there is one, which is asked first: nobody has read its release's list of files; else it is compiled for 9.0"
    assert said in made.flash_attn.why
    last, asked = without_doubtful()
    assert asked == [newest, newest.replace("post2", "post1"), newest.replace(".post2", "")]
    assert (last.flash_attn.mode, candidate_name(last)) == ("build", "build of 2.8.3.post2")
    assert "it is not there" in rejected(last, "flash-attn")


def test_what_is_certain_goes_before_what_is_newer_and_unknown() -> None:
    made = plan(H100, "vllm=0.11.0")
    assert version(made, "flash-attn") == "2.8.3.post1"
    (first, *_) = rejected(made, "flash-attn").splitlines()
    assert first.endswith("cp312-linux_x86_64.whl: nobody has read its release's list of files")


def test_what_was_refused_is_passed_over_with_its_reason() -> None:
    first = plan(H100, "vllm=0.11.0")
    second = plan(H100, "vllm=0.11.0", refusals=(refused(candidate_name(first), "SHA-256 differs"),))
    assert candidate_name(second) == candidate_name(first).replace(".post1", "")
    assert f"{candidate_name(first)}: SHA-256 differs" in rejected(second, "flash-attn")
    built = plan(H100, CERTAIN)
    none = plan(H100, CERTAIN, refusals=(refused(candidate_name(built), "nvcc was killed"),))
    assert (none.flash_attn.mode, none.packages["flash-attn"], candidate_name(none)) == ("none", None, "")
    assert "nvcc was killed" in none.flash_attn.why


def test_a_list_knows_a_torch_whose_minor_came_out_before_it() -> None:
    patch = next(row for row in CATALOGUE.torch if row.version == "2.13.0")
    patched = msgspec.structs.replace(patch, version="2.13.1", released="2026-10-01")
    vllm = tuple(
        msgspec.structs.replace(row, torch="2.13.1") if row.torch == "2.13.0" else row for row in CATALOGUE.vllm
    )
    later = msgspec.structs.replace(CATALOGUE, torch=(patched, *CATALOGUE.torch), vllm=vllm)
    made = plan(H100, "vllm=0.32.0", catalogue=later)
    assert version(made, "torch").startswith("2.13.1")
    assert "came out" not in rejected(made, "flash-attn")


def test_refusals_of_flash_attn_and_of_vllm_are_kept_apart() -> None:
    assert version(plan(H100, refusals=(refused("0.33.0"),))) == "0.33.0"
    of_vllm = Refusal(version=candidate_name(plan(H100)), reason="no")
    assert candidate_name(plan(H100, refusals=(of_vllm,))) == of_vllm.version
    on_a_cpu = plan("", driver=None, refusals=(refused("0.33.0"),))
    assert version(on_a_cpu).startswith("0.33.0")


def test_a_wheel_in_our_own_store_goes_first_and_needs_no_source() -> None:
    stocked = msgspec.structs.replace(CATALOGUE, flash_attn=(BUILT, *CATALOGUE.flash_attn))
    offline = "sources: {github: false, vllm: false, pytorch: false}"
    for settings in (("flash_attn.mode=auto",), ("flash_attn.mode=wheel",), ("flash_attn.mode=build",)):
        made = plan(H100, "vllm=0.32.0", *settings, catalogue=stocked, more=offline)
        package = made.packages["flash-attn"]
        assert package
        assert (package.version, package.source, package.distribution) == ("2.8.3.post2", "find-links", None)
        assert (made.flash_attn.mode, made.flash_attn.origin) == ("wheel", "store")
        assert made.flash_attn.wheel == candidate_name(made) == BUILT.file
        assert "built here on 2026-11-20" in made.flash_attn.why
        assert not rejected(made, "flash-attn")
    other = plan(H100, "vllm=0.33.0", CERTAIN, catalogue=stocked)
    assert f"{BUILT.file}: for torch 2.13.0, not 2.14.0" in rejected(other, "flash-attn")
    broken = plan(H100, "vllm=0.32.0", CERTAIN, catalogue=stocked, refusals=(refused(BUILT.file, "does not load"),))
    assert broken.flash_attn.mode == "build"
    downloaded = msgspec.structs.replace(BUILT, source="downloaded", third_party=True)
    stocked = msgspec.structs.replace(CATALOGUE, flash_attn=(downloaded, *CATALOGUE.flash_attn))
    assert plan(H100, "vllm=0.32.0", CERTAIN, catalogue=stocked).flash_attn.mode == "build"
    compiled = plan(H100, "vllm=0.32.0", "flash_attn.third_party=true", "flash_attn.mode=build", catalogue=stocked)
    assert compiled.flash_attn.mode == "build", "only what was built here is as good as a build"


def test_what_a_build_takes_here_is_said_where_the_host_is_known() -> None:
    made = recorded(with_memory(cores=2, available_gb=60), CERTAIN)
    assert "about 2.7 CPU hours: about 1.4 h here with 2 jobs, 14 GB of memory, 7 GB of disk" in made.flash_attn.why
    limited = recorded(with_memory(cores=16, available_gb=60, limit_gb=9), CERTAIN)
    assert "with 1 job, 7 GB of memory" in limited.flash_attn.why
    shared = with_memory(cores=16, available_gb=60)
    used = {CGROUP: {"limits": [str(30 * 2**30)], "used": [21 * 2**30]}}
    assert "with 1 job, 7 GB of memory" in recorded(shared | used, CERTAIN).flash_attn.why
    quota = {"probe cgroup_cpu": {"quotas": ["350000 100000"]}}
    assert "with 3 jobs, 21 GB of memory" in recorded(shared | quota, CERTAIN).flash_attn.why


def test_a_host_without_the_memory_for_one_file_builds_nothing() -> None:
    small = recorded(with_memory(cores=4, available_gb=5.2), CERTAIN)
    assert small.flash_attn.mode == "none"
    assert "compiling one file needs 7 GB" in rejected(small, "flash-attn")
    assert "5.2 GB free: free some memory, or build on another host" in small.flash_attn.why
    required = none_recorded(with_memory(cores=4, available_gb=5.2), CERTAIN, "flash_attn.mode=require")
    assert "this host has 5.2 GB free" in required.unsupported[0].reasons[0]


def test_a_host_without_what_compiles_builds_nothing() -> None:
    def with_compilers(*versions: str) -> dict[str, Any]:
        said = [{"path": "/usr/bin/g++", "says": f"g++ (Debian {one}) {one}\nCopyright"} for one in versions]
        return with_memory(cores=16, available_gb=60) | {"probe compilers": said}

    no_nvcc = recorded(with_compilers("12.2.0"), CERTAIN, "cuda=12.9")
    assert no_nvcc.flash_attn.mode == "none"
    assert "compiling for this torch needs the CUDA toolkit 12.9; this host has none" in no_nvcc.flash_attn.why
    assert recorded(with_compilers("12.2.0"), CERTAIN).flash_attn.mode == "build", "PyPI has the nvcc of CUDA 13"
    no_compiler = recorded(with_compilers(), CERTAIN)
    assert no_compiler.flash_attn.mode == "none"
    assert "need g++ " in no_compiler.flash_attn.why
    assert "this host has none: install it" in no_compiler.flash_attn.why


def test_modes() -> None:
    assert plan(H100, "flash_attn.mode=none").flash_attn.why.startswith("config asks for none")
    assert plan(H100, "vllm=0.11.0", "flash_attn.mode=build").flash_attn.mode == "build"
    assert plan(H100, "flash_attn.mode=wheel", CERTAIN).flash_attn.mode == "none"
    assert plan(H100, "flash_attn.build=no", CERTAIN).flash_attn.mode == "none"
    assert "vLLM does not wait" in plan(H100, CERTAIN).flash_attn.why
    assert "vLLM does not wait" not in plan(H100, CERTAIN, "flash_attn.build=now").flash_attn.why
    assert plan(H100, "flash_attn.mode=require", CERTAIN).flash_attn.mode == "build"


def test_required_and_not_to_be_had_ends_with_every_reason() -> None:
    (turing,) = no_plan("{name: Tesla T4}", "flash_attn.mode=require").unsupported
    assert (turing.subject, "SDPA is used there" in turing.reasons[0]) == ("flash-attn", True)
    met = refused("build of 2.8.3.post2", "nvcc was killed")
    (refusal,) = no_plan(H100, "flash_attn.mode=require", CERTAIN, refusals=(met,)).unsupported
    assert refusal.subject == "flash-attn"
    assert refusal.reasons[0].startswith("nvcc was killed")
    assert "published wheels: the settings rule out GitHub" in refusal.reasons
    three = refused("flash_attn_3==3.0.0", "no flash-attn-3 on this index")
    (index,) = no_plan(H100, "flash_attn.mode=require", "flash_attn.flavour=3", refusals=(three,)).unsupported
    assert "flash_attn_3==3.0.0: no flash-attn-3 on this index" in index.reasons


def test_flavours() -> None:
    three = plan(H100, "flash_attn.flavour=3")
    assert (three.flash_attn.mode, version(three, "flash-attn"), three.flash_attn.flavour) == ("wheel", "3.0.0", "3")
    assert candidate_name(three) == "flash_attn_3==3.0.0"
    assert "for Hopper" in plan(A100, "flash_attn.flavour=3").flash_attn.why
    four = plan(H100, "flash_attn.flavour=4")
    assert (candidate_name(four), four.flash_attn.wheel) == ("flash-attn-4==4.0.0b36", "")
    assert plan(H100, "flash_attn.flavour=4", refusals=(refused(candidate_name(four)),)).flash_attn.mode == "none"


@pytest.mark.parametrize("vllm", ["0.13.0", "0.19.1", "0.23.0"])
def test_a_vllm_that_is_harmed_gets_none(vllm: str) -> None:
    made = plan(H100, "flash_attn.flavour=4", f"vllm={vllm}")
    assert made.flash_attn.mode == "none"
    assert "rotary embedding" in made.flash_attn.why
    (required,) = no_plan(H100, "flash_attn.flavour=4", f"vllm={vllm}", "flash_attn.mode=require").unsupported
    assert "rotary embedding" in required.reasons[0]


@pytest.mark.parametrize("vllm", ["0.12.0", "0.24.0", "0.33.0"])
def test_a_vllm_that_is_not_harmed_gets_it(vllm: str) -> None:
    assert plan(H100, "flash_attn.flavour=4", f"vllm={vllm}").flash_attn.mode == "wheel"


def test_what_it_is_good_for_is_said() -> None:
    assert "vision part of some models" in plan(H100, "vllm=0.8.5").flash_attn.why
    assert "vision" not in plan(H100).flash_attn.why


def test_what_a_broken_copy_would_do_is_said() -> None:
    assert "keeps vLLM from starting" in plan(H100).flash_attn.why
    assert "keeps vLLM from starting" not in plan(H100, "vllm=0.11.0").flash_attn.why


def test_on_a_cpu_there_is_none() -> None:
    made = plan("", driver=None)
    assert made.flash_attn.mode == "none"
    assert "SDPA" in made.flash_attn.why
