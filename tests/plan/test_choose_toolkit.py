"""The toolkit that compiles for a torch: its CUDA and a C++ compiler, or the reason and the fix."""

from __future__ import annotations

import pytest

from provision.host.compilers import Compiler
from provision.host.cuda_toolkits import CudaToolkit
from provision.plan import choose_toolkit
from provision.plan._model import Plan
from provision.plan.choose_toolkit import Toolkit, torch_cuda
from tests.plan.described import CATALOGUE, plan


def gxx(*versions: str) -> tuple[Compiler, ...]:
    return tuple(
        Compiler(
            name="g++",
            path=f"/usr/bin/g++-{version}",
            family="gcc",
            language="c++",
            version=version,
        )
        for version in versions
    )


CLANG = Compiler(name="c++", path="/usr/bin/c++", family="clang", language="c++", version="19.1.0")
DEBIAN = ("12.2.0",)


def choose(
    of: Plan, cxx: int, gcc: tuple[str, ...] = DEBIAN, *toolkits: CudaToolkit
) -> Toolkit | str:
    return choose_toolkit.choose(torch_cuda(of), cxx, (*gxx(*gcc), CLANG), toolkits, CATALOGUE)


CUDA_13 = plan("{name: NVIDIA H100 80GB HBM3}", "vllm=0.32.0")
CUDA_12 = plan("{name: NVIDIA H100 80GB HBM3}", "cuda=12.9", driver="575.57.08")


def test_the_plans_are_of_the_cudas_that_their_names_say() -> None:
    assert (CUDA_13.cuda, CUDA_12.cuda) == ("13.0", "12.9")


def test_wheels_make_the_toolkit_where_the_host_has_none() -> None:
    toolkit = choose(CUDA_13, 17)
    assert toolkit == Toolkit(
        cuda="13.0", compiler="/usr/bin/g++-12.2.0", compiler_version="12.2.0"
    )


def test_the_hosts_own_toolkit_where_it_is_of_this_cuda_and_whole() -> None:
    there = CudaToolkit(path="/usr/local/cuda-13.0", version="13.0.88", whole=True)
    toolkit = choose(CUDA_13, 17, ("12.2.0",), there)
    assert isinstance(toolkit, Toolkit)
    assert (toolkit.cuda_home, toolkit.nvcc) == ("/usr/local/cuda-13.0", "13.0.88")


@pytest.mark.parametrize(
    "there",
    [
        CudaToolkit(path="/opt/cuda", version="13.0.88"),  # without the headers of the libraries
        CudaToolkit(path="/opt/cuda", version="12.9.86", whole=True),
        CudaToolkit(path="/opt/cuda", version="13.1.80", whole=True),
        CudaToolkit(path="/opt/cuda", whole=True),
    ],
)
def test_another_toolkit_is_left_alone(there: CudaToolkit) -> None:
    toolkit = choose(CUDA_13, 17, ("12.2.0",), there)
    assert isinstance(toolkit, Toolkit)
    assert toolkit.cuda_home == ""


def test_cuda_12_has_no_nvcc_in_wheels() -> None:
    text = choose(CUDA_12, 17, ("12.2.0",), CudaToolkit(path="/opt/cuda", version="11.8.89"))
    assert isinstance(text, str)
    assert "needs the CUDA toolkit 12.9; this host has 11.8.89 in /opt/cuda" in text
    assert "PyPI has no nvcc for CUDA 12" in text
    assert "set CUDA_HOME" in text


@pytest.mark.parametrize(
    ("gcc", "cxx", "chosen"),
    [
        (("12.2.0", "13.3.0"), 17, "13.3.0"),
        (("12.2.0", "16.1.0"), 17, "12.2.0"),  # the newest is too new for nvcc 13.0
        (("9.4.0", "11.4.0"), 20, "11.4.0"),
        (("9.4.0",), 17, "9.4.0"),
    ],
)
def test_the_newest_compiler_that_nvcc_accepts(gcc: tuple[str, ...], cxx: int, chosen: str) -> None:
    toolkit = choose(CUDA_13, cxx, gcc)
    assert isinstance(toolkit, Toolkit)
    assert toolkit.compiler_version == chosen


@pytest.mark.parametrize(
    ("gcc", "cxx", "reason", "way_out"),
    [
        ((), 17, "need g++ 9 to 15; this host has none: install it", "apt-get install g++;"),
        (("16.1.0",), 17, "need g++ 9 to 15; this host has 16.1.0", "apt-get install g++-15;"),
        (
            ("9.4.0", "8.5.0"),
            20,
            "C++20 headers need g++ 11 to 15; this host has 8.5.0, 9.4.0",
            "install g++-11;",
        ),
    ],
)
def test_no_compiler_that_fits(gcc: tuple[str, ...], cxx: int, reason: str, way_out: str) -> None:
    text = choose(CUDA_13, cxx, gcc)
    assert isinstance(text, str)
    assert reason in text
    assert way_out in text
