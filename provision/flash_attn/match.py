"""The flash-attn finder: every known wheel against one torch: does it fit, and if not, why; or does nobody know."""

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
BUILT = "built"  # how the source of a store's row begins where the wheel was compiled, here or on another host

# A wheel is asked these in this order; one that fails later is nearer to what is wanted.
_Question = Literal["CUDA", "Python", "ABI", "machine", "libc", "architectures", ""]
_ORDER: tuple[_Question, ...] = ("CUDA", "Python", "ABI", "machine", "libc", "architectures", "")
_LISTED = frozenset(_ORDER[:4])  # what a longer list of files would change


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a wheel must fit. `cuda` is that of torch; `torch_released` is the day on which its minor came out."""

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


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate: `name` is the wheel's exact file name; `near` where the release has wheels for this torch.

    `newest`: the newest torch that the release has wheels for, where that is not this one.
    """

    name: str
    row: FlashAttnWheels
    origin: Origin
    verdict: Literal["fits", "unfit", "unknown"]
    reason: str = ""
    near: bool = True
    newest: str = ""

    @property
    def is_far(self) -> bool:
        """Of a release that is not for this torch, for all that anybody knows."""
        return not (self.near or self.verdict == "unknown" or self.origin == "store")


def verdicts(rows: Iterable[FlashAttnWheels], target: Target, flavour: str = "2") -> list[Verdict]:
    """In the order of preference: our store, the authors' releases from the newest, a third party's from the newest.

    A release has one verdict: of its rows for this torch the one that fits, else the one that comes nearest.
    """
    known = sorted((row for row in rows if row.flavour == flavour), key=_preference, reverse=True)
    releases = [list(release) for _, release in groupby(known, key=_preference)]
    return [_of_file(each[0], target) if each[0].file else _of_release(each, target) for each in releases]


def _preference(row: FlashAttnWheels) -> tuple[bool, bool, Version, str]:
    return bool(row.file), not row.third_party, Version(row.version), row.file


def _origin(row: FlashAttnWheels) -> Origin:
    if row.file:
        return "store"
    return "third party" if row.third_party else "authors"


def _of_file(row: FlashAttnWheels, target: Target) -> Verdict:
    """A wheel in our store. Where its row gives torch in full, it was linked with that one here, and tried with it:

    a new torch gets a new build, as every step is done again when the one before it has changed.
    """
    torch = target.torch.partition("+")[0]
    if not {minor(torch), torch} & {*row.torch}:
        reason = f"for torch {', '.join(row.torch)}, not {torch}"
        return Verdict(name=row.file, row=row, origin="store", verdict="unfit", reason=reason, near=False)
    _, reason = _against(row, target)
    return Verdict(name=row.file, row=row, origin="store", verdict="unfit" if reason else "fits", reason=reason)


def _of_release(rows: list[FlashAttnWheels], target: Target) -> Verdict:
    torch = minor(target.torch)
    near = [row for row in rows if torch in row.torch or not row.torch]
    if not near:
        return _not_for_this_torch(rows, target)
    judged = [(row, *_against(row, target)) for row in near]
    row, question, reason = max(judged, key=lambda one: (_ORDER.index(one[1]), _nearness(one[0], target)))
    if question in _LISTED and _is_newer_than(rows, target):
        return _not_for_this_torch(rows, target)
    name = candidate(row, target)
    if reason:
        return Verdict(name=name, row=row, origin=_origin(row), verdict="unfit", reason=reason)
    doubt = _doubt(row, target)
    return Verdict(name=name, row=row, origin=_origin(row), verdict="unknown" if doubt else "fits", reason=doubt)


def _nearness(row: FlashAttnWheels, target: Target) -> tuple[bool, tuple[int, ...], bool]:
    """Among wheels that fit alike: compiled with torch's own CUDA, else the newest; then the one for older systems."""
    return minor(row.cuda) == minor(target.cuda), numbers(row.cuda), row.platform != ("linux",)


def _doubt(row: FlashAttnWheels, target: Target) -> str:
    """Why nobody knows whether a wheel that would fit is there."""
    if target.cxx11_abi is None and len(row.cxx11_abi) != 1:
        return "nobody has read which C++ ABI this torch has"
    if row.basis != "unread":
        return ""
    return (
        "nobody has read its release's list of files" if row.flavour == "2" else "nobody has read the list of its index"
    )


def _is_newer_than(rows: list[FlashAttnWheels], target: Target) -> bool:
    """Whether the target's torch came out after the list of files was read, which may have grown since."""
    return any(row.listed and target.torch_released > row.listed for row in rows)


def _not_for_this_torch(rows: list[FlashAttnWheels], target: Target) -> Verdict:
    torch, newest = minor(target.torch), max((one for row in rows for one in row.torch), key=numbers)
    row = max(rows, key=lambda one: (target.machine in one.machines, max(map(numbers, one.torch)), numbers(one.cuda)))
    row = msgspec.structs.replace(row, named=row.version, toolkit="")  # as its setup.py would ask for it
    name = candidate(row, target)
    found = Verdict(name=name, row=row, origin=_origin(row), verdict="unfit", near=False, newest=newest)
    if _is_newer_than(rows, target):
        if reason := _against_host(row, target)[1]:
            return msgspec.structs.replace(found, reason=reason)
        doubt = f"its list of files was read on {row.listed}, before torch {torch} came out"
        return msgspec.structs.replace(found, verdict="unknown", reason=doubt)
    reason = f"none for torch {torch}; the newest are for {newest}"
    if any(torch in each.preview for each in rows):
        reason = f"its wheels for torch {torch} were linked with a preview of it"
    return msgspec.structs.replace(found, reason=reason)


def _against(row: FlashAttnWheels, target: Target) -> tuple[_Question, str]:
    """The first question that a wheel for this torch fails. An empty list of the row says nothing, and allows it."""
    if row.cuda and row.cuda.split(".")[0] != target.cuda_major:
        return "CUDA", f"for CUDA {row.cuda.split('.')[0]}, not {target.cuda}"
    if row.cpython and target.cpython not in row.cpython:
        return "Python", f"for {', '.join(row.cpython)}, not Python {target.python}"
    if row.cxx11_abi and target.cxx11_abi not in (None, *row.cxx11_abi):
        return "ABI", f"none with the C++ ABI of this torch ({'new' if target.cxx11_abi else 'old'})"
    return _against_host(row, target)


def _against_host(row: FlashAttnWheels, target: Target) -> tuple[_Question, str]:
    if row.machines and target.machine not in row.machines:
        return "machine", f"for {', '.join(row.machines)}, not {target.machine}"
    if not reaches(target.glibc, row.glibc):
        return "libc", f"glibc {target.glibc}: {row.glibc} needed"
    lacking = [capability for capability in target.capabilities if row.sm and not serves(row.sm, capability)]
    if lacking:
        return "architectures", f"no machine code for {', '.join(lacking)} (it carries {' '.join(row.sm)})"
    return "", ""


def candidate(row: FlashAttnWheels, target: Target) -> str:
    """The exact name of the wheel for a target, by the rule of whoever publishes it; or what the resolver is asked for.

    The authors write the major of CUDA, and wrote its minor too before 2.7; a third party always does.
    """
    if row.file:
        return row.file
    if row.flavour != "2":
        return f"{DISTRIBUTION[row.flavour]}=={row.named}"
    toolkit = row.toolkit or f"cu{target.cuda.replace('.', '') if row.third_party else target.cuda_major}"
    abi = ""
    if not row.third_party:
        new = target.cxx11_abi if target.cxx11_abi is not None else row.cxx11_abi[:1] != (False,)
        abi = f"cxx11abi{'TRUE' if new else 'FALSE'}"
    python, platform = target.cpython, ".".join(f"{tag}_{target.machine}" for tag in row.platform)
    return f"flash_attn-{row.named}+{toolkit}torch{minor(target.torch)}{abi}-{python}-{python}-{platform}.whl"
