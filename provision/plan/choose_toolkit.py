"""What compiles CUDA code for a torch: a toolkit of torch's own CUDA, and a C++ compiler that its nvcc accepts."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from provision.catalog.rows import Catalogue
from provision.host.compilers import Compiler
from provision.host.cuda_toolkits import CudaToolkit
from provision.plan._model import Plan
from provision.plan.versions import minor, numbers

# The oldest g++ that knows enough of a C++ standard for torch's headers.
_OLDEST_GCC: Final = {17: 9, 20: 11}
_WHEELS_HAVE_NVCC: Final = 13  # PyPI's wheels for CUDA 12 bring ptxas and no nvcc


class Toolkit(msgspec.Struct, frozen=True, kw_only=True):
    """`cuda_home` is "" where the toolkit is put together from wheels."""

    cuda: str
    compiler: str
    compiler_version: str
    cuda_home: str = ""
    nvcc: str = ""


def choose(
    cuda: str, cxx: int, gcc: tuple[Compiler, ...], there: tuple[CudaToolkit, ...], catalogue: Catalogue
) -> Toolkit | str:
    """The host's own toolkit where it fits, else one from wheels; or why there is none, and the way out."""
    compiler = _compiler(cuda, cxx, gcc, catalogue)
    if isinstance(compiler, str):
        return compiler
    found = Toolkit(cuda=cuda, compiler=compiler.path, compiler_version=compiler.version)
    for toolkit in there:
        if toolkit.version and minor(toolkit.version) == cuda and toolkit.whole:
            return msgspec.structs.replace(found, cuda_home=toolkit.path, nvcc=toolkit.version)
    if numbers(cuda)[0] >= _WHEELS_HAVE_NVCC:
        return found
    others = ", ".join(f"{toolkit.version or 'one of no known version'} in {toolkit.path}" for toolkit in there)
    return (
        f"compiling for this torch takes the CUDA toolkit {cuda}, and here is {others or 'none'}; PyPI has no nvcc for "
        f"CUDA {numbers(cuda)[0]}: install the toolkit {cuda} (NVIDIA's packages, or conda's cuda-toolkit={cuda}) and "
        f"set CUDA_HOME to it"
    )


def torch_cuda(plan: Plan) -> str:
    """2.13.0+cu129 says it; what PyPI has is built for the CUDA that the plan is for."""
    torch = plan.packages["torch"]
    said = re.search(r"\+cu(\d\d)(\d+)$", torch.version if torch else "")
    return f"{said[1]}.{said[2]}" if said else plan.cuda or ""


def _compiler(cuda: str, cxx: int, there: tuple[Compiler, ...], catalogue: Catalogue) -> Compiler | str:
    """The newest g++ between what torch's headers need and what nvcc accepts."""
    oldest = _OLDEST_GCC[cxx]
    newest = next((row.max_gcc for row in catalogue.cuda if row.version == cuda and row.max_gcc), None)
    gcc = [one for one in there if one.family == "gcc" and one.language == "c++"]
    fit = [one for one in gcc if oldest <= _major(one) <= (newest or _major(one))]
    if fit:
        return max(fit, key=lambda one: (numbers(one.version), one.path))
    wanted = f"g++ {oldest} to {newest}" if newest else f"g++ {oldest} or newer"
    have = ", ".join(sorted({one.version for one in gcc}, key=numbers)) or "none"
    too_new = any(_major(one) > oldest for one in gcc)
    package = f"g++-{newest if too_new else oldest}" if gcc else "g++"
    return (
        f"the nvcc of CUDA {cuda} and torch's C++{cxx} headers take {wanted}, and here is {have}: install one, which "
        f"changes nothing else (Debian, Ubuntu: apt-get install {package}; Fedora, RHEL: dnf install gcc-c++)"
    )


def _major(compiler: Compiler) -> int:
    return numbers(compiler.version)[0]
