"""The reasons against installing a wheel, by its content, this host and the torch beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import Version

from provision.plan.versions import reaches, serves

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provision.binary.libraries import Libraries
    from provision.binary.wheel import WheelContents

_SHOWN = 3
# Every Linux with glibc has these; the driver brings libcuda.
_SYSTEM_LIBRARIES = frozenset(
    {
        *(
            "libc.so.6",
            "libm.so.6",
            "libdl.so.2",
            "libpthread.so.0",
            "librt.so.1",
            "libstdc++.so.6",
            "libgcc_s.so.1",
        ),
        *("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libcuda.so.1"),
    }
)


def reasons_against(
    truth: WheelContents,
    *,
    distribution: str = "",
    version: str = "",
    python: str = "",
    machine: str = "",
    glibc: str = "",
    capabilities: Sequence[str] = (),
    torch: Libraries | None = None,
    torch_version: str = "",
) -> list[str]:
    """Return the reasons as sentences; an argument that is left out is not compared.

    Each GPU in `capabilities` needs machine code in the wheel. `torch` is the content of torch/lib.
    """
    reasons = [*_some(truth.contradictions, "lies")]
    if distribution and canonicalize_name(distribution) != truth.distribution:
        reasons.append(f"it is {truth.distribution}, not {canonicalize_name(distribution)}")
    # The planned version may have the local part of the file name, which METADATA lacks.
    if version and Version(truth.version) not in (
        Version(version),
        Version(Version(version).public),
    ):
        reasons.append(f"it is version {truth.version}, not {version}")
    if python and not any(_for_python(tag, python) for tag in truth.tags):
        reasons.append(f"it is for {', '.join(truth.tags)}, not for Python {python}")
    if machine and (others := [other for other in truth.machines if other != machine]):
        reasons.append(f"it is compiled for {', '.join(others)}, not for {machine}")
    if glibc and truth.glibc and not reaches(glibc, truth.glibc):
        reasons.append(f"it needs glibc {truth.glibc}; this host has {glibc}")
    return [
        *reasons,
        *_against_code(truth, capabilities),
        *(_against_torch(truth, torch, torch_version) if torch else ()),
    ]


def _for_python(tag: str, python: str) -> bool:
    interpreter, abi, _ = tag.split("-", 2)
    return (
        f"cp{python.replace('.', '')}" in (interpreter, abi)
        or interpreter == "py3"
        or abi == "abi3"
    )


def _against_code(truth: WheelContents, capabilities: Sequence[str]) -> list[str]:
    if not capabilities:
        return []
    if not truth.modules:
        return ["it contains no compiled file: it was built without its kernels"]
    # PTX does not count: an older driver cannot compile it.
    lacking = [capability for capability in capabilities if not serves(truth.sm, capability)]
    carried = f"machine code for {' '.join(truth.sm)}" if truth.sm else "no machine code at all"
    return (
        [f"it has no machine code for {', '.join(lacking)}: it carries {carried}"]
        if lacking
        else []
    )


def _against_torch(truth: WheelContents, torch: Libraries, version: str) -> list[str]:
    name = f"torch {version}".strip()
    own = {module.rpartition("/")[2] for module in truth.modules}
    absent = sorted(set(truth.needed) - torch.names - own - _SYSTEM_LIBRARIES)
    reasons = [f"it needs {', '.join(absent)}, which {name} does not bring"] if absent else []
    # The interpreter provides the symbols of Python, the driver those of CUDA.
    elsewhere = ("Py", "_Py", *(("cu",) if "libcuda.so.1" in truth.needed else ()))
    unmet = sorted(
        symbol for symbol in truth.undefined - torch.defined if not symbol.startswith(elsewhere)
    )
    if unmet:
        old = ": it was built for the old C++ ABI" if truth.cxx11_abi is False else ""
        reasons.append(f"it needs {_first_name(unmet)}, which {name} here does not have{old}")
    return reasons


def _some(sentences: Sequence[str], what: str) -> list[str]:
    more = len(sentences) - _SHOWN
    return [*sentences[:_SHOWN], *([f"and {more} more such {what}"] if more > 0 else [])]


def _first_name(names: Iterable[str]) -> str:
    first, *others = names
    return f"{first} and {len(others)} more" if others else first
