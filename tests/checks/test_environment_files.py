"""Checks of an environment's files: requirements, CUDA libraries, torch's symbols, GPU code."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from checks import architecture_truth, symbols_of_torch
from checks._contract import Verdict
from checks._host import Observation
from provision.engine import launch_checks
from provision.engine.launch_checks import CheckContext
from tests.binary.tiny_elf import fat_section, shared_object
from tests.checks import real
from tests.checks.environments import SmallEnvironment
from tests.checks.twins import twin_of

CPU, CUDA = CheckContext(profile="cpu"), CheckContext(profile="cuda")


@pytest.fixture
def environment(tmp_path: Path) -> SmallEnvironment:
    return SmallEnvironment(tmp_path / "env")


# Requirements


def require(environment: SmallEnvironment, name: str, version: str, *requires: str) -> None:
    environment.install(name, version, {f"{name}.py": ""})
    path = environment.site / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    path.write_text(
        path.read_text()
        + "".join(f"Requires-Dist: {item}\n" for item in requires)
        + "\nText: none\n"
    )


@pytest.fixture
def with_packaging(environment: SmallEnvironment) -> SmallEnvironment:
    files = [item for item in importlib.metadata.files("packaging") or () if item.suffix == ".py"]
    content: dict[str, str | bytes] = {str(file): file.read_binary() for file in files}
    environment.install("packaging", importlib.metadata.version("packaging"), content)
    require(
        environment,
        "alpha",
        "1.0",
        "beta[fast]>=2,<3",
        "old; python_version < '3'",
        "gamma; extra == 'all'",
    )
    require(
        environment,
        "beta",
        "2.5.0rc1",
        "alpha",
        "delta==1.*; extra == 'fast'",
        "epsilon; extra == 'slow'",
    )
    require(environment, "delta", "1.7")
    return environment


def requirements(environment: SmallEnvironment, *pins: str) -> tuple[str, str]:
    result = environment.check(
        "dependencies_consistent", CheckContext(profile="cpu", pins=dict.fromkeys(pins, "1"))
    )
    return result.outcome, result.summary


def test_requirements_are_met(with_packaging: SmallEnvironment) -> None:
    assert requirements(with_packaging) == ("pass", "3 requirements of 4 distributions are met")


@twin_of("dependencies_consistent")
def test_unmet_requirements_are_named(with_packaging: SmallEnvironment) -> None:
    require(with_packaging, "zeta", "1", "delta>=2", "absent>1", "Beta~=2.4,!=2.5.0rc1")
    message = "zeta requires Beta!=2.5.0rc1,~=2.4; installed is 2.5.0rc1; zeta requires absent>1, which is not installed; "
    assert requirements(with_packaging) == (
        "fail",
        message + "zeta requires delta>=2; installed is 1.7",
    )


def test_a_requested_extra_counts(with_packaging: SmallEnvironment) -> None:
    require(with_packaging, "zeta", "1", "beta[slow]")
    message = "beta[slow] requires epsilon, which is not installed"
    assert requirements(with_packaging) == ("fail", message)


def test_an_unreadable_requirement_fails(with_packaging: SmallEnvironment) -> None:
    require(with_packaging, "zeta", "1", "delta>=not a version")
    outcome, summary = requirements(with_packaging)
    assert (outcome, summary.startswith("zeta-1.dist-info/METADATA: ")) == ("fail", True)
    (with_packaging.site / "zeta-1.dist-info" / "METADATA").unlink()
    assert requirements(with_packaging)[0] == "fail"


def test_the_lock_may_leave_out_requirements_and_take_other_builds(
    with_packaging: SmallEnvironment,
) -> None:
    require(with_packaging, "zeta", "1", "torchvision==0.28", "delta==1.7+cpu")
    assert requirements(with_packaging)[0] == "fail"
    assert requirements(with_packaging, "delta", "alpha")[0] == "fail"
    assert requirements(with_packaging, "zeta", "delta", "torchvision")[0] == "fail"
    assert requirements(with_packaging, "zeta", "delta")[0] == "pass"


def test_without_packaging_nothing_is_decided(environment: SmallEnvironment) -> None:
    assert requirements(environment) == ("skip", "needs packaging in this environment")


# CUDA libraries

LOADS = """
    import mmap, pathlib
    kept = []
    for path in {paths!r}:
        with open(path, "rb") as stream:
            kept.append(mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ))
"""


def with_cuda(environment: SmallEnvironment, *loaded: Path) -> None:
    environment.install(
        "nvidia-cuda-runtime",
        "13.0.96",
        {f"nvidia/cu13/lib/{name}": b"13" for name in ("libcudart.so.13", "libnvrtc.so.13")},
    )
    triton: dict[str, str | bytes] = {
        "triton/lib/libcupti.so.12": b"12",
        "nvidia/cu13/lib/libnvrtc.alt.so.13": b"alt",
    }
    environment.install("triton", "3.8.0", triton)
    paths = [str(path) for path in loaded] or [
        str(environment.site / "nvidia/cu13/lib/libcudart.so.13")
    ]
    environment.install("torch", "2.13.0", {"torch.py": LOADS.format(paths=paths)})


def cuda(environment: SmallEnvironment) -> tuple[str, str]:
    result = environment.check("one_cuda", CUDA)
    return result.outcome, result.summary


def test_each_cuda_library_once(environment: SmallEnvironment) -> None:
    with_cuda(environment)
    assert cuda(environment) == ("pass", "2 CUDA libraries, each once; torch has loaded 1 of them")
    (environment.site / "nvidia/cu13/lib/libcudart.so").symlink_to("libcudart.so.13")
    environment.install("cupy", "14", {"cupy/lib/libcudart.so.13": b"13"})
    assert cuda(environment)[0] == "pass", "a copy of the same content is no other library"


@twin_of("one_cuda")
def test_a_second_copy_is_named_with_its_distribution(environment: SmallEnvironment) -> None:
    with_cuda(environment)
    environment.install("private", "1", {"private.libs/libcudart-0123abcd.so.12.4.127": b"12"})
    assert cuda(environment)[0] == "pass", (
        "only the extensions of that wheel find a library of this name"
    )
    environment.install("old", "1", {"old/libcudart.so.12": b"12"})
    message = "libcudart exists twice: libcudart.so.13 of nvidia_cuda_runtime-13.0.96 and libcudart.so.12 of old-1"
    assert cuda(environment) == ("warn", message)


def test_a_library_loaded_from_elsewhere_fails(
    environment: SmallEnvironment, tmp_path: Path
) -> None:
    foreign = tmp_path / "cuda" / "libcudart.so.12"
    foreign.parent.mkdir()
    foreign.write_bytes(b"12")
    with_cuda(environment, foreign)
    assert cuda(environment) == (
        "warn",
        f"torch has loaded {foreign}, not the libcudart of this environment",
    )
    with_cuda(environment, foreign, environment.site / "nvidia/cu13/lib/libcudart.so.13")
    assert "torch loaded libcudart twice: libcudart.so.12 of" in cuda(environment)[1]


def test_no_cuda_library_at_all_is_no_pass(environment: SmallEnvironment) -> None:
    environment.install("torch", "2.13.0", {"torch.py": ""})
    assert cuda(environment)[0] == "warn"
    assert environment.check("one_cuda", CPU).outcome == "skip"


# Symbols of torch

ADD, LIST = "_ZN2at3addERKNS_6TensorE", "_ZN3c104listEv"


def symbols(site: Path, files: dict[str, bytes]) -> Verdict:
    """Of an environment whose torch defines two symbols, with other files beside it."""
    content = {
        "torch/lib/libtorch_cpu.so": shared_object(
            defined=(ADD,), needed=("libc10.so",), undefined=("mkl",)
        ),
        "torch/lib/libc10.so": shared_object(defined=(LIST,)),
        **files,
    }
    for name, data in content.items():
        path = site / "site-packages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return symbols_of_torch.judge(sorted(site / "site-packages" / name for name in content))


def extension(*undefined: str, needed: tuple[str, ...] = ()) -> bytes:
    return shared_object(needed=("libtorch_cpu.so", *needed), undefined=undefined)


def test_symbols_that_are_there(tmp_path: Path) -> None:
    other = shared_object(undefined=("not_of_torch",))
    found = symbols(
        tmp_path, {"vllm/_C.so": extension(ADD, LIST, "PyLong_Type"), "numpy/core.so": other}
    )
    assert (found.passed, found.summary) == (True, "torch has all symbols that 1 extensions need")


@twin_of("symbols_of_torch")
def test_an_extension_for_another_torch(tmp_path: Path) -> None:
    stale = extension(ADD, "_ZN3c106DeviceC1ESs", "_ZN2at5emptyE")
    found = symbols(tmp_path, {"vllm/_C.so": extension(ADD), "flash_attn_2_cuda.so": stale})
    assert not found.passed
    assert (
        found.summary
        == "flash_attn_2_cuda.so needs _ZN2at5emptyE and 1 more, which this torch does not have"
    )


def test_of_variants_for_several_torches_the_right_one_is_judged(tmp_path: Path) -> None:
    """As torch_c_dlpack_ext brings them."""
    names = [f"ext/libaddon_torch{torch}-cpu.so" for torch in ("24", "212", "213", "2130")]
    stale = {name: extension("_ZN2at5emptyE") for name in names}

    def judged(content: dict[str, bytes]) -> Verdict:
        symbols(tmp_path, content)
        return symbols_of_torch.judge(sorted(tmp_path.rglob("*.so")), "2.13.0+cu130")

    fine = judged({**stale, names[2]: extension(ADD)})
    assert (fine.passed, fine.evidence["extensions"]) == (True, 1)
    assert [name in fine.evidence["for_other_torches"] for name in names] == [
        True,
        True,
        False,
        True,
    ]
    wrong = judged(stale)
    assert wrong.summary.startswith(f"{names[2]} needs _ZN2at5emptyE, ")


def test_a_torch_without_cuda_beside_extensions_that_want_it(tmp_path: Path) -> None:
    found = symbols(tmp_path, {"vllm/_C.so": extension(ADD, needed=("libtorch_cuda.so",))})
    assert found.summary == "vllm/_C.so needs libtorch_cuda.so, which this torch does not have"


def test_a_library_of_the_package_itself_counts(tmp_path: Path) -> None:
    own = {
        "vllm/_C.so": extension("own", needed=("libown.so",)),
        "vllm/libown.so": shared_object(defined=("own",)),
    }
    found = symbols(tmp_path, own)
    assert found.passed, found.summary


@pytest.mark.parametrize(
    ("undefined", "needed", "passed"),
    [
        ((ADD, "cuMemCreate"), ("libcuda.so.1",), True),
        ((ADD, "cuMemCreate"), (), False),
        (("_ZN2at5otherE", "cuMemCreate"), ("libcuda.so.1",), False),
        # torchcodec has a variant for each FFmpeg; only torch's part counts if FFmpeg is missing
        ((ADD, "av_malloc"), ("libavutil.so.59",), True),
        (("_ZNK2at6Tensor5otherE",), ("libavutil.so.59",), False),
        ((ADD, "_ZN3abc3defE"), (), False),
    ],
)
def test_the_driver_and_other_libraries(
    tmp_path: Path, undefined: tuple[str, ...], needed: tuple[str, ...], *, passed: bool
) -> None:
    found = symbols(tmp_path, {"vllm/_C.so": extension(*undefined, needed=needed)})
    assert found.passed == passed, found.summary
    assert found.evidence["libraries_not_found"] == ({"vllm/_C.so": list(needed)} if needed else {})


def test_damage_and_nothing_to_look_at_fail(tmp_path: Path) -> None:
    cut = symbols(
        tmp_path / "1", {"vllm/_C.so": extension(ADD), "vllm/_D.so": extension(ADD)[:-100]}
    )
    assert not cut.passed
    assert "vllm/_D.so: _D.so is cut off" in cut.summary
    assert symbols(tmp_path / "2", {}).summary == "no extension is linked with torch"


def test_a_real_vllm_is_consistent_and_linked_with_its_torch(real_vllm: real.Vllm) -> None:
    code = f"""if True:
        import json, sys
        sys.path.insert(0, {str(launch_checks.CHECKS.parent)!r})
        from checks import _installed, dependencies_consistent, symbols_of_torch
        from checks._contract import Context
        pins = {{name: found[0] for name, found in _installed.versions().items()}}
        context = Context(profile="cpu", scratch="", pins=pins)
        linked, consistent = symbols_of_torch.body(context), dependencies_consistent.body(context)
        assert "torch" not in sys.modules
        print(json.dumps([linked.passed, linked.evidence["extensions"], consistent.passed, consistent.summary]))
    """
    done = subprocess.run(
        [real_vllm.python, "-I", "-B", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    linked, extensions, consistent, summary = json.loads(done.stdout)
    assert (linked, consistent) == (True, True), summary
    assert extensions >= 3


# Code for GPUs

TORCH, CORE, FLASH = (
    "torch/lib/libtorch_cuda.so",
    "vllm/_C_stable_libtorch.abi3.so",
    "flash_attn_2_cuda.so",
)
SOUND = {
    TORCH: "sm80 sm90;sm90",
    CORE: "sm80 sm90 ptx90;sm100",
    "vllm/vllm_flash_attn/_vllm_fa3_C.abi3.so": "sm90",
}


def code(site: Path, files: dict[str, str], *capabilities: str) -> Observation:
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(
            shared_object(fatbin=fat_section(*text.split(";")) if text else b"")
        )
    return architecture_truth.judge(
        [site], [{"id": str(at), "cc": cc} for at, cc in enumerate(capabilities)]
    )


def test_code_for_every_gpu(tmp_path: Path) -> None:
    found = code(tmp_path, SOUND, "8.0", "8.9", "9.0")
    assert (found.problems, found.holds) == ([], "on 3 GPUs: torch native, vLLM native")
    assert found.evidence["gpus"]["GPU 1 (8.9)"] == {
        TORCH: "native",
        CORE: "native",
        "vllm/vllm_flash_attn/_vllm_fa3_C.abi3.so": "none",
    }
    assert (
        code(tmp_path, {**SOUND, TORCH: "sm80 sm120"}, "12.0").holds
        == "on 1 GPUs: torch native, vLLM ptx-jit"
    )


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({CORE: "sm80;sm80"}, "GPU 1: vLLM has no code for 9.0; it carries sm_80"),
        ({CORE: "sm80 ptx100"}, "GPU 1: vLLM has no code for 9.0; it carries sm_80, PTX 100"),
        ({TORCH: "sm90"}, "GPU 0: torch has no code for 8.0; it carries sm_90"),
        ({FLASH: "sm90"}, "GPU 0: flash-attn has no code for 8.0; it carries sm_90"),
        (
            {FLASH: "ptx100"},
            "GPU 0: flash-attn has no code for 8.0; it carries no machine code, PTX 100",
        ),
        ({CORE: ""}, "vLLM has no GPU code at all"),
        ({TORCH: ""}, "torch has no GPU code at all"),
    ],
)
def test_a_gpu_without_code_is_named(tmp_path: Path, changed: dict[str, str], says: str) -> None:
    (problem, *_) = code(tmp_path, {**SOUND, **changed}, "8.0", "9.0").problems
    assert says in problem


def test_a_file_that_is_cut_off_has_no_code_to_trust(tmp_path: Path) -> None:
    code(tmp_path, SOUND)
    (tmp_path / TORCH).write_bytes((tmp_path / TORCH).read_bytes()[:-300])
    (tmp_path / CORE).write_bytes(shared_object(fatbin=fat_section("sm90")[:-40]))
    problems = code(tmp_path, {}, "9.0").problems
    assert any(problem.startswith(f"{TORCH}: libtorch_cuda.so is cut off") for problem in problems)
    assert f"{CORE}: the fat binary at byte 0 is cut off" in problems
    assert "torch has no GPU code at all" in problems


@twin_of("architecture_truth")
def test_which_gpus_are_here_a_recording_must_say(environment: SmallEnvironment) -> None:
    for name in ("torch", "vllm"):
        environment.install(name, "1", {f"{name}/__init__.py": ""})
    for path, text in SOUND.items():
        environment.install(
            "code", "1", {path: shared_object(fatbin=fat_section(*text.split(";")))}
        )
    facts = {"gpus": [{"id": "0", "cc": "9.0"}, {"id": "1", "cc": "7.0"}]}

    def found(**changes: Any) -> tuple[str, str]:
        result = environment.check("architecture_truth", CheckContext(profile="cuda", **changes))
        return result.outcome, result.summary

    assert found(gpus=("0",), facts=facts) == ("pass", "on 1 GPUs: torch native, vLLM native")
    assert found(gpus=("0", "1"), facts=facts)[0] == "fail"
    unread = "GPUs could not be read (not read: this recording does not have it)"
    assert found(gpus=("0",), facts={"x": 1}) == ("fail", unread)
    assert found(facts=facts) == ("skip", "needs 1 GPU; this host has none")

    def planned(*capabilities: str) -> dict[str, Any]:
        return {"gpus": {"used": ["0", "1"], "capabilities": capabilities}}

    fine = "by the plan, on 1 kinds of GPU: torch native, vLLM native"
    assert found(plan=planned("9.0", "9.0")) == ("pass", fine), "built here for a host elsewhere"
    assert found(plan=planned("9.0", "7.0"))[1].startswith(
        "GPU 7.0 of the plan: torch has no code for 7.0"
    )
    assert found(plan=planned()) == ("skip", "needs 1 GPU; this host has none"), (
        "an older plan does not say"
    )
    assert found(plan=planned("9.0"), gpus=("0",)) == (
        "skip",
        "needs a recording of this host, which `./setup.sh check` makes",
    )
    assert found(gpus=("0", "1"), facts=facts, plan=planned("9.0"))[0] == "fail", (
        "what is here goes before it"
    )
    half = {"gpus": [{"id": "0", "cc": "9.0"}, {"id": "1", "cc": None}]}
    judged = environment.check(
        "architecture_truth", CheckContext(profile="cuda", gpus=("0", "1"), facts=half)
    )
    assert (judged.outcome, judged.every_gpu, judged.gpus) == ("pass", True, ("0",)), (
        "which proves it for one of two"
    )
    assert found(gpus=("0",))[0] == "skip"
    assert environment.check("architecture_truth", CPU).outcome == "skip"
