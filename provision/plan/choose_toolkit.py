"""The tools that compile CUDA code for a torch: a toolkit of its CUDA and a C++ compiler."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from provision.catalog.rows import Catalogue
from provision.host.compilers import Compiler
from provision.host.cuda_toolkits import CudaToolkit
from provision.plan._model import Plan
from provision.plan.versions import minor, numbers

# The oldest g++ whose support of a C++ standard is enough for torch's headers.
_OLDEST_GCC: Final = {17: 9, 20: 11}
_WHEELS_HAVE_NVCC: Final = 13  # PyPI's wheels for CUDA 12 contain ptxas and no nvcc


class Toolkit(msgspec.Struct, frozen=True, kw_only=True):
    """A CUDA toolkit and a C++ compiler; `cuda_home` is "" where the toolkit comes from wheels."""

    cuda: str
    compiler: str
    compiler_version: str
    cuda_home: str = ""
    nvcc: str = ""


def choose(
    cuda: str,
    cxx: int,
    compilers: tuple[Compiler, ...],
    toolkits: tuple[CudaToolkit, ...],
    catalogue: Catalogue,
) -> Toolkit | str:
    """Return the host's own toolkit where it fits, else one from wheels.

    Return the reason and the way out where neither works.
    """
    compiler = _compiler(cuda, cxx, compilers, catalogue)
    if isinstance(compiler, str):
        return compiler
    from_wheels = Toolkit(cuda=cuda, compiler=compiler.path, compiler_version=compiler.version)
    for toolkit in toolkits:
        # `whole` means with the headers of the CUDA libraries, which torch's headers include.
        if toolkit.version and minor(toolkit.version) == cuda and toolkit.whole:
            return msgspec.structs.replace(
                from_wheels, cuda_home=toolkit.path, nvcc=toolkit.version
            )
    if numbers(cuda)[0] >= _WHEELS_HAVE_NVCC:
        return from_wheels
    others = ", ".join(
        f"{toolkit.version or 'a toolkit of unknown version'} in {toolkit.path}"
        for toolkit in toolkits
    )
    return (
        f"compiling for this torch needs the CUDA toolkit {cuda}; this host has"
        f" {others or 'none'}, and PyPI"
        f" has no nvcc for CUDA {numbers(cuda)[0]}: install the toolkit {cuda} (NVIDIA's"
        " packages, or conda's"
        f" cuda-toolkit={cuda}) and set CUDA_HOME to its folder"
    )


def torch_cuda(plan: Plan) -> str:
    """Return the CUDA of the planned torch: 12.9 for 2.13.0+cu129, the plan's for PyPI's wheel."""
    torch = plan.packages["torch"]
    variant = re.search(r"\+cu(\d\d)(\d+)$", torch.version if torch else "")
    return f"{variant[1]}.{variant[2]}" if variant else plan.cuda or ""


def _compiler(
    cuda: str, cxx: int, compilers: tuple[Compiler, ...], catalogue: Catalogue
) -> Compiler | str:
    """Return the newest g++ that torch's headers and nvcc accept, or the reason against all."""
    oldest = _OLDEST_GCC[cxx]
    newest = next(
        (row.max_gcc for row in catalogue.cuda if row.version == cuda and row.max_gcc), None
    )
    gcc = [
        compiler for compiler in compilers if (compiler.family, compiler.language) == ("gcc", "c++")
    ]
    fitting = [
        compiler for compiler in gcc if oldest <= _major(compiler) <= (newest or _major(compiler))
    ]
    if fitting:
        return max(fitting, key=lambda compiler: (numbers(compiler.version), compiler.path))
    needed = f"g++ {oldest} to {newest}" if newest else f"g++ {oldest} or newer"
    have = ", ".join(sorted({compiler.version for compiler in gcc}, key=numbers)) or "none"
    # The package to install: an older g++ beside too new ones, else the oldest that works.
    too_new = any(_major(compiler) > oldest for compiler in gcc)
    package = f"g++-{newest if too_new else oldest}" if gcc else "g++"
    return (
        f"the nvcc of CUDA {cuda} and torch's C++{cxx} headers need {needed}; this host has"
        f" {have}: install"
        f" it beside the others (Debian, Ubuntu: apt-get install {package}; Fedora, RHEL: dnf"
        " install gcc-c++)"
    )


def _major(compiler: Compiler) -> int:
    return numbers(compiler.version)[0]
