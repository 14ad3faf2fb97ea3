"""The steps that compile flash-attn: their downloads, commands and environment variables."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from provision.flash_attn import build_steps
from provision.flash_attn.build_steps import Recipe, steps
from provision.steps.model import Action, Fetch, Run, Site, Step, Wheel, Write
from tests.checks import real
from tests.plan.described import plan
from tests.steps.planned import lock_of

MADE = plan("{name: NVIDIA A100-SXM4-80GB}, {name: NVIDIA H100 80GB HBM3}", "vllm=0.32.0")
LOCK = lock_of(MADE)
SITE = Site(
    generation="/p/toolkits/flash-attn-k1",
    prefix="/p",
    uv="/opt/uv",
    host_python="/usr/bin/python3.12",
)
RECIPE = Recipe(
    source=Wheel(url="https://index/flash_attn-2.8.3.post2.tar.gz", sha256="ab"),
    local="cu130.torch2.13.0.sm80.sm90.k1",
    arches=("8.0", "9.0"),
    cxx=17,
    jobs=3,
    threads=2,
    compiler="/usr/bin/g++-12",
)


def actions(step: Step, recipe_site: Site = SITE) -> tuple[Action, ...]:
    return step.actions(MADE, LOCK, recipe_site)


def compiling(**changed: object) -> Run:
    _, compiled = steps(msgspec.structs.replace(RECIPE, **changed))
    fetched, run = actions(compiled)
    assert isinstance(fetched, Fetch)
    assert fetched.wheels == (RECIPE.source,)
    assert isinstance(run, Run)
    return run


def test_they_come_after_step_60_and_are_pure() -> None:
    toolkit, compiled = steps(RECIPE)
    assert [step.label for step in (toolkit, compiled)] == ["61-toolkit", "62-compile"]
    for step in (toolkit, compiled):
        assert actions(step) == actions(step)
        assert step.title
        assert step.why
    assert set(toolkit.leaves(MADE, LOCK)) == {pin.name for pin in LOCK.pins}


def test_the_toolkit_is_torch_and_what_compiles_beside_it_out_of_the_store() -> None:
    toolkit, _ = steps(RECIPE)
    made = actions(toolkit)
    install = next(item for item in made if isinstance(item, Run) and "install" in item.argv)
    assert {"--require-hashes", "--no-index", "/p/wheels"} <= set(install.argv)
    written = next(item for item in made if isinstance(item, Write) and item.path == SITE.lock_file)
    assert written.text == LOCK.text
    assert any(isinstance(item, Run) and item.argv[-1] == SITE.toolkit for item in made), (
        "lib64 is laid out"
    )


def test_it_is_compiled_for_these_architectures_alone_as_many_at_once_as_was_chosen() -> None:
    run = compiling()
    assert run.env["FLASH_ATTN_CUDA_ARCHS"] == "80;90"
    assert run.env["NVCC_THREADS"] == "2"
    assert run.env["FLASH_ATTN_LOCAL_VERSION"] == RECIPE.local
    assert run.env["FLASH_ATTENTION_FORCE_BUILD"] == "TRUE"
    words = list(run.argv)
    assert words[words.index("--jobs") + 1] == "3"
    assert words[words.index("--std") + 1] == "17"
    assert "--only" not in words
    assert run.argv[0] == SITE.python


def test_the_host_compiler_and_the_toolkit_of_the_wheels_are_named() -> None:
    run = compiling()
    assert (run.env["CC"], run.env["CXX"], run.env["CUDA_HOME"]) == (
        "/usr/bin/g++-12",
        "/usr/bin/g++-12",
        SITE.toolkit,
    )
    assert "PYTORCH_NVCC" not in run.env


def test_nvccs_own_bounds_for_the_host_compiler_are_those_that_count() -> None:
    """torch 2.11 refuses g++ 14 beside the nvcc of CUDA 12.8 and 12.9, which takes it."""
    assert compiling().env["TORCH_DONT_CHECK_COMPILER_ABI"] == "1"


def test_the_hosts_own_toolkit_where_it_was_chosen() -> None:
    assert compiling(cuda_home="/usr/local/cuda-13.0").env["CUDA_HOME"] == "/usr/local/cuda-13.0"


def test_ccache_stands_before_nvcc_alone() -> None:
    run = compiling(ccache="/usr/bin/ccache")
    assert run.env["PYTORCH_NVCC"] == f"/usr/bin/ccache {SITE.toolkit}/bin/nvcc"
    assert run.env["CXX"] == run.env["CC"] == "/usr/bin/g++-12", (
        "torch and nvcc's -ccbin take no words before it"
    )


# One source of each kind, for torch's own classes, as in torch 2.11 with its older bounds.
SETUP = """
import os, torch
torch.version.cuda = "12.9"
from setuptools import setup
from torch.utils import cpp_extension
cpp_extension.CUDA_HOME = os.environ["CUDA_HOME"]  # which a torch for a CPU does not look for
cpp_extension.CUDA_GCC_VERSIONS["12.9"] = ((6, 0, 0), (14, 0))
of = cpp_extension.CUDAExtension(name="one", sources=["one.cpp", "two.cu"])
setup(name="one", ext_modules=[of], cmdclass={"build_ext": cpp_extension.BuildExtension})
"""
NVCC = """#!/bin/sh
case "$1" in --version) echo "Cuda compilation tools, release 12.9, V12.9.86"; exit;; esac
while [ $# -gt 0 ]; do
    case "$1" in -c) source="$2";; -o) object="$2";; -MF) touch "$2"; echo "$object: $source" > "$2";; esac
    shift
done
exec g++ -fPIC -x c++ -c "$source" -o "$object"
"""
GCC_14 = """#!/bin/sh
case "$1" in -dump*) echo 14.2.0; exit;; esac
exec g++ "$@"
"""


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler here")
def test_a_real_torch_takes_the_compilers_as_they_are_named(
    real_vllm: real.Vllm, tmp_path: Path
) -> None:
    tools = {
        "nvcc": NVCC,
        "g++-14": GCC_14,
        "ccache": '#!/bin/sh\necho "$@" >> "$(dirname "$0")/cached"; exec "$@"\n',
    }
    (tmp_path / "bin").mkdir()
    for name, text in tools.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "lib64").mkdir()
    for library in ("c10_cuda", "cudart", "torch_cuda"):  # a torch for a CPU has none
        stub = tmp_path / "lib64" / f"lib{library}.so"
        subprocess.run(["g++", "-shared", "-x", "c++", os.devnull, "-o", stub], check=True)
    for name, text in {
        "setup.py": SETUP,
        "one.cpp": "int one();\n",
        "two.cu": "int two();\n",
    }.items():
        (tmp_path / name).write_text(text)
    tool = str(tmp_path / "bin")
    run = compiling(ccache=f"{tool}/ccache", compiler=f"{tool}/g++-14", cuda_home=str(tmp_path))
    path = f"{Path(real_vllm.python).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, **run.env, "PATH": path, "TORCH_CUDA_ARCH_LIST": "9.0"}
    done = subprocess.run(
        [real_vllm.python, "setup.py", "build_ext"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.glob("build/*/one*.so"))
    assert (tmp_path / "bin" / "cached").read_text().startswith(f"{tool}/nvcc ")


@pytest.mark.parametrize("only", ["flash_fwd_hdim64*"])
def test_who_works_on_the_build_names_sources(only: str) -> None:
    words = list(compiling(only=only).argv)
    assert words[words.index("--only") + 1] == only


def test_sources_lie_beside_the_toolkit_and_not_in_it() -> None:
    assert not build_steps.sources(SITE).startswith(f"{SITE.generation}/")
    assert build_steps.wheels(SITE).startswith(f"{build_steps.sources(SITE)}/")
