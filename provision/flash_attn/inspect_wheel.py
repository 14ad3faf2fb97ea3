"""Work out what an imported flash-attn wheel fits, from its contents, its name and its note."""

from __future__ import annotations

import re
import time

import msgspec

from provision.binary.wheel import WheelContents
from provision.catalog.rows import Machine
from provision.flash_attn.wheel_store import FILE, Kept
from provision.plan import against_wheel
from provision.plan.versions import minor, newer

# Local versions: cu12torch2.8cxx11abitrue (the authors), cu130torch2.11 (others),
# cu130.torch2.13.0 (our own builds).
_CUDA = re.compile(r"cu(\d{2})(\d*)(?!\d)")
_TORCH = re.compile(r"torch(\d+\.\d+(?:\.\d+)?)")
_ABI = re.compile(r"cxx11abi(true|false)")
_ABI_NAMES = {True: "new", False: "old", None: "unknown"}
_CUDA_RUNTIME = re.compile(r"libcudart\.so\.(\d+)")
_NEW_ABI_SINCE = "2.7"  # every torch since then has the new ABI, from any index
_COMPARED_WITH_NOTE = ("version", "cpython", "cxx11_abi", "machine", "glibc", "sm")


class StatedTarget(msgspec.Struct, frozen=True, kw_only=True):
    """The torch and CUDA that a wheel is for, as the user or its note states them.

    The file itself cannot prove either. `source` names the origin of the statement in messages.
    """

    source: str = "the command line"
    torch: str = ""
    cuda: str = ""


def inspect(truth: WheelContents, statement: StatedTarget) -> Kept:
    """Return the entry for the store; raise ValueError with a sentence if it cannot be kept.

    The caller adds hash and size.
    """
    if truth.distribution != "flash-attn":
        raise ValueError(
            f"it is {truth.distribution}; only flash-attn wheels are imported, "
            "all other wheels come from the lock"
        )
    if not re.search(FILE, truth.file):
        raise ValueError(
            "its name does not begin with flash_attn- or has characters that no published wheel"
            " has: rename it"
        )
    if problems := against_wheel.reasons_against(truth):
        raise ValueError("; ".join(problems))
    if not truth.sm:
        raise ValueError("it has machine code for no GPU: it was built without its kernels")
    torch, cuda = _torch(truth, statement), _cuda(truth, statement)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Kept(
        file=truth.file,
        sha256="",
        size=0,
        version=truth.version,
        torch=torch,
        cuda=cuda,
        cpython=_cpython(truth),
        cxx11_abi=_cxx11_abi(truth, torch),
        machine=_machine(truth),
        glibc=truth.glibc or "2.0",  # a wheel that names no version of glibc runs on all
        sm=truth.sm,
        origin="imported",
        made=now,
        brought=now,
    )


def inspect_with_note(truth: WheelContents, note: Kept) -> Kept:
    """Return the note as the entry for the store; raise ValueError if the file contradicts it."""
    # torch is taken from the note on trust: step 60 tries the wheel beside that torch.
    entry = inspect(truth, StatedTarget(source="its note", torch=note.torch, cuda=note.cuda))
    for name in _COMPARED_WITH_NOTE:
        expected, in_code = getattr(note, name), getattr(entry, name)
        if in_code != expected:
            raise ValueError(f"its note says {name} {_text(expected)}, and it has {_text(in_code)}")
    return msgspec.structs.replace(note, brought=entry.brought)


def _text(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _local_version(truth: WheelContents) -> str:
    return truth.file.split("-")[1].partition("+")[2].lower()


def _torch(truth: WheelContents, statement: StatedTarget) -> str:
    """Return the more precise of the named and the stated version; they must not differ."""
    in_name = match[1] if (match := _TORCH.search(_local_version(truth))) else ""
    if not (in_name or statement.torch):
        raise ValueError("its name does not say which torch it is for: add --torch 2.13.0")
    short, long = sorted((in_name, statement.torch), key=len)
    if short and long != short and not long.startswith(f"{short}."):
        raise ValueError(f"its name says torch {in_name}, and {statement.source} {statement.torch}")
    return long


def _cuda(truth: WheelContents, statement: StatedTarget) -> str:
    """Return the CUDA of the wheel; the user, the name and the code must agree on its major."""
    match = _CUDA.search(_local_version(truth))
    runtimes = sorted(runtime[1] for name in truth.needed if (runtime := _CUDA_RUNTIME.match(name)))
    statements = {
        statement.source: statement.cuda,
        "its name": ".".join(filter(None, match.groups())) if match else "",
        "its code": runtimes[0] if runtimes else "",
    }
    known = {source: cuda for source, cuda in statements.items() if cuda}
    if not known:
        raise ValueError("neither its name nor its code says which CUDA: add --cuda 13.0")
    (source, cuda), *others = known.items()
    for other_source, other in others:
        # Minors may differ: CUDA runs code that was compiled with another minor of its major.
        if other.partition(".")[0] != cuda.partition(".")[0]:
            raise ValueError(f"{source} says CUDA {cuda}, and {other_source} CUDA {other}")
    return cuda


def _cpython(truth: WheelContents) -> str:
    interpreters = {tuple(tag.split("-")[:2]) for tag in truth.tags}
    (interpreter, abi), *others = sorted(interpreters) or [("", "")]
    if others or interpreter != abi or not re.fullmatch(r"cp3\d+", interpreter):
        raise ValueError(f"it is for {', '.join(truth.tags) or 'nothing'}, and not for one Python")
    return interpreter


def _cxx11_abi(truth: WheelContents, torch: str) -> bool:
    in_name = (match[1] == "true") if (match := _ABI.search(_local_version(truth))) else None
    in_code = truth.cxx11_abi
    if None not in (in_name, in_code) and in_name != in_code:
        raise ValueError(
            f"its name says the {_ABI_NAMES[in_name]} C++ ABI, "
            f"and its code has the {_ABI_NAMES[in_code]} one"
        )
    known = in_code if in_code is not None else in_name
    if known is None and newer(_NEW_ABI_SINCE, minor(torch)):
        raise ValueError("neither its name nor its code says which C++ ABI it has")
    return known is not False


def _machine(truth: WheelContents) -> Machine:
    if truth.machines == ("x86_64",):
        return "x86_64"
    if truth.machines == ("aarch64",):
        return "aarch64"
    raise ValueError(f"it is compiled for {', '.join(truth.machines)}")
