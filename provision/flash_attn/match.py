"""Compare every known flash-attn wheel with one torch: fits, does not fit and why, or unknown."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Literal

import msgspec
from packaging.version import Version

from provision.catalog.rows import FlashAttnWheels
from provision.plan.versions import minor, numbers, reaches, serves

Origin = Literal["store", "authors", "third party"]  # in the order of preference
DISTRIBUTION = {"3": "flash_attn_3", "4": "flash-attn-4"}
# The source of a row of the store begins with this word if the wheel was compiled, on any host.
BUILT = "built"

# A wheel is held to these requirements in this order. The later the first one that it fails,
# the closer it is to what the host needs.
_Requirement = Literal["CUDA", "Python", "ABI", "machine", "libc", "architectures", ""]
_ORDER: tuple[_Requirement, ...] = (
    "CUDA",
    "Python",
    "ABI",
    "machine",
    "libc",
    "architectures",
    "",
)
_LISTED = frozenset(_ORDER[:4])  # a newer list of files could have a wheel that meets these


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The torch, Python and host that a wheel must fit.

    `cuda` is the CUDA of torch; `torch_released` is the day on which torch's minor was released.
    """

    torch: str
    cuda: str
    python: str
    cxx11_abi: bool | None
    machine: str
    glibc: str
    capabilities: tuple[str, ...] = ()
    torch_released: str = ""

    @property
    def cpython(self) -> str:
        return f"cp{self.python.replace('.', '')}"

    @property
    def cuda_major(self) -> str:
        return self.cuda.split(".", maxsplit=1)[0]


class WheelMatch(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate and how it compares with a target; `name` is the wheel's exact file name.

    `near` is true if its release has wheels for this torch. If not, `newest` is the newest torch
    that the release has wheels for.
    """

    name: str
    row: FlashAttnWheels
    origin: Origin
    result: Literal["fits", "unfit", "unknown"]
    reason: str = ""
    near: bool = True
    newest: str = ""

    @property
    def is_far(self) -> bool:
        """Its release is known to have nothing for this torch."""
        return not (self.near or self.result == "unknown" or self.origin == "store")


def match(rows: Iterable[FlashAttnWheels], target: Target, flavour: str = "2") -> list[WheelMatch]:
    """Compare all wheels of a flavour with a target and return one match for each release.

    The store comes first, then the authors' releases from the newest, then a third party's.
    """
    rows = sorted((row for row in rows if row.flavour == flavour), key=_preference, reverse=True)
    releases = [list(release) for _, release in groupby(rows, key=_preference)]
    return [
        _match_file(release[0], target) if release[0].file else _match_release(release, target)
        for release in releases
    ]


def _preference(row: FlashAttnWheels) -> tuple[bool, bool, Version, str]:
    return bool(row.file), not row.third_party, Version(row.version), row.file


def _origin(row: FlashAttnWheels) -> Origin:
    return "store" if row.file else "third party" if row.third_party else "authors"


def _match_file(row: FlashAttnWheels, target: Target) -> WheelMatch:
    torch = target.torch.partition("+")[0]
    # A row that names a full torch version was linked and tried with exactly that one. A new
    # torch gets a new build, as every step is repeated when the step before it has changed.
    is_near = bool({minor(torch), torch} & {*row.torch})
    other_torch = f"for torch {', '.join(row.torch)}, not {torch}"
    reason = _mismatch(row, target)[1] if is_near else other_torch
    return WheelMatch(
        name=row.file,
        row=row,
        origin="store",
        result="unfit" if reason else "fits",
        reason=reason,
        near=is_near,
    )


def _match_release(rows: list[FlashAttnWheels], target: Target) -> WheelMatch:
    """Compare the row of a release that fits or, if none does, the one that comes closest."""
    torch = minor(target.torch)
    near = [row for row in rows if torch in row.torch or not row.torch]
    if not near:
        return _match_other_torch(rows, target)
    mismatches = [(row, *_mismatch(row, target)) for row in near]
    row, requirement, reason = max(
        mismatches, key=lambda entry: (_ORDER.index(entry[1]), _closeness(entry[0], target))
    )
    if requirement in _LISTED and _is_newer_than_list(rows, target):
        return _match_other_torch(rows, target)
    doubt = "" if reason else _doubt(row, target)
    return WheelMatch(
        name=candidate(row, target),
        row=row,
        origin=_origin(row),
        result="unfit" if reason else "unknown" if doubt else "fits",
        reason=reason or doubt,
    )


def _closeness(row: FlashAttnWheels, target: Target) -> tuple[bool, tuple[int, ...], bool]:
    """Prefer torch's own CUDA, then the newest CUDA, then the wheel for older systems."""
    return minor(row.cuda) == minor(target.cuda), numbers(row.cuda), row.platform != ("linux",)


def _doubt(row: FlashAttnWheels, target: Target) -> str:
    """Return why it is unknown if a wheel that would fit exists; "" if it is known."""
    if target.cxx11_abi is None and len(row.cxx11_abi) != 1:
        return "the C++ ABI of this torch is not known"
    if row.basis != "unread":
        return ""
    listing = "its release's list of files" if row.flavour == "2" else "the list of its index"
    return f"{listing} has not been read"


def _is_newer_than_list(rows: list[FlashAttnWheels], target: Target) -> bool:
    """Return whether torch was released after the list of files was read, which may have grown."""
    return any(row.listed and target.torch_released > row.listed for row in rows)


def _match_other_torch(rows: list[FlashAttnWheels], target: Target) -> WheelMatch:
    """Compare a release that has no wheel for this torch, as far as its list is known."""
    torch = minor(target.torch)
    newest = max((version for row in rows for version in row.torch), key=numbers)
    row = max(
        rows,
        key=lambda row: (
            target.machine in row.machines,
            max(map(numbers, row.torch)),
            numbers(row.cuda),
        ),
    )
    # The name that the release's own setup.py would ask for.
    row = msgspec.structs.replace(row, named=row.version, toolkit="")
    far = WheelMatch(
        name=candidate(row, target),
        row=row,
        origin=_origin(row),
        result="unfit",
        near=False,
        newest=newest,
    )
    if _is_newer_than_list(rows, target):
        if reason := _host_mismatch(row, target)[1]:
            return msgspec.structs.replace(far, reason=reason)
        return msgspec.structs.replace(
            far,
            result="unknown",
            reason=f"its list of files was read on {row.listed}, before torch {torch} was released",
        )
    reason = f"none for torch {torch}; the newest are for {newest}"
    if any(torch in row.preview for row in rows):
        reason = f"its wheels for torch {torch} were linked with a preview of it"
    return msgspec.structs.replace(far, reason=reason)


def _mismatch(row: FlashAttnWheels, target: Target) -> tuple[_Requirement, str]:
    """Return the first requirement that a wheel for this torch fails, and the reason.

    An empty list in the row states nothing, so it excludes nothing.
    """
    if row.cuda and row.cuda.split(".")[0] != target.cuda_major:
        return "CUDA", f"for CUDA {row.cuda.split('.')[0]}, not {target.cuda}"
    if row.cpython and target.cpython not in row.cpython:
        return "Python", f"for {', '.join(row.cpython)}, not Python {target.python}"
    if row.cxx11_abi and target.cxx11_abi not in (None, *row.cxx11_abi):
        return (
            "ABI",
            f"none with the C++ ABI of this torch ({'new' if target.cxx11_abi else 'old'})",
        )
    return _host_mismatch(row, target)


def _host_mismatch(row: FlashAttnWheels, target: Target) -> tuple[_Requirement, str]:
    if row.machines and target.machine not in row.machines:
        return "machine", f"for {', '.join(row.machines)}, not {target.machine}"
    if not reaches(target.glibc, row.glibc):
        return "libc", f"it needs glibc {row.glibc}, and this host has {target.glibc}"
    lacking = [
        capability
        for capability in target.capabilities
        if row.sm and not serves(row.sm, capability)
    ]
    if lacking:
        return (
            "architectures",
            f"no machine code for {', '.join(lacking)} (it carries {' '.join(row.sm)})",
        )
    return "", ""


def candidate(row: FlashAttnWheels, target: Target) -> str:
    """Return the exact file name of the wheel for a target, by its publisher's naming rule.

    Flavours 3 and 4 come from an index: return the requirement for the resolver instead.
    """
    if row.file:
        return row.file
    if row.flavour != "2":
        return f"{DISTRIBUTION[row.flavour]}=={row.named}"
    # The authors write the major of CUDA (before 2.7 its minor too); a third party writes both.
    cuda = target.cuda.replace(".", "") if row.third_party else target.cuda_major
    abi = ""
    if not row.third_party:
        is_new = target.cxx11_abi if target.cxx11_abi is not None else row.cxx11_abi[:1] != (False,)
        abi = f"cxx11abi{'TRUE' if is_new else 'FALSE'}"
    build = f"{row.named}+{row.toolkit or f'cu{cuda}'}torch{minor(target.torch)}{abi}"
    python, platform = target.cpython, ".".join(f"{tag}_{target.machine}" for tag in row.platform)
    return f"flash_attn-{build}-{python}-{python}-{platform}.whl"
