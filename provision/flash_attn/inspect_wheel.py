"""What a flash-attn wheel from elsewhere fits: as its contents and its name say, and for the rest as somebody says."""

from __future__ import annotations

import re
import time

import msgspec

from provision.binary.wheel import WheelTruth
from provision.catalog.rows import Machine
from provision.flash_attn.wheel_store import FILE, Kept
from provision.plan import against_wheel
from provision.plan.versions import minor, newer

# The local part of the names: cu12torch2.8cxx11abitrue (the authors), cu130torch2.11 (others), cu130.torch2.13.0 (us).
_CUDA = re.compile(r"cu(\d{2})(\d*)(?!\d)")
_TORCH = re.compile(r"torch(\d+\.\d+(?:\.\d+)?)")
_ABI = re.compile(r"cxx11abi(true|false)")
_CUDA_RUNTIME = re.compile(r"libcudart\.so\.(\d+)")
_NEW_ABI_SINCE = "2.7"  # torch; wherever it comes from
_NOTED = ("version", "cpython", "cxx11_abi", "machine", "glibc", "sm")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What no file can prove, and who says it: the user, or the wheel's note."""

    who: str = "the command line"
    torch: str = ""
    cuda: str = ""


def kept_as(truth: WheelTruth, said: Said) -> Kept:
    """What it is in the store; ValueError, a sentence, where it cannot be kept. Hash and size are not looked at."""
    if truth.distribution != "flash-attn":
        raise ValueError(
            f"it is {truth.distribution}; only flash-attn is kept by hand, all else comes with the lock that names it"
        )
    if not re.search(FILE, truth.file):
        raise ValueError("its name has signs that no published wheel has, or is not flash_attn-…: rename it")
    if lies := against_wheel.against(truth):
        raise ValueError("; ".join(lies))
    if not truth.sm:
        raise ValueError("it carries machine code for no GPU: it was built without its kernels")
    torch, cuda = _torch(truth, said), _cuda(truth, said)
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
        glibc=truth.glibc or "2.0",
        sm=truth.sm,
        origin="imported",
        made=now,
        brought=now,
    )


def as_noted(truth: WheelTruth, note: Kept) -> Kept:
    """The same where a note came with it: what can be looked up in the file must be as the note says.

    Which torch it is for is taken from the note: step 60 tries it beside that one before it stays.
    """
    seen = kept_as(truth, Said(who="its note", torch=note.torch, cuda=note.cuda))
    for name in _NOTED:
        if getattr(seen, name) != getattr(note, name):
            raise ValueError(
                f"its note says {name} {_text(getattr(note, name))}, and it has {_text(getattr(seen, name))}"
            )
    return msgspec.structs.replace(note, brought=seen.brought)


def _text(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


def _local(truth: WheelTruth) -> str:
    return truth.file.split("-")[1].partition("+")[2].lower()


def _torch(truth: WheelTruth, said: Said) -> str:
    """The more precise of both, where they agree."""
    named = found[1] if (found := _TORCH.search(_local(truth))) else ""
    if not (named or said.torch):
        raise ValueError("its name does not say for which torch it was compiled: --torch 2.13.0 says it")
    short, long = sorted((named, said.torch), key=len)
    if short and long != short and not long.startswith(f"{short}."):
        raise ValueError(f"its name says torch {named}, and {said.who} {said.torch}")
    return long


def _cuda(truth: WheelTruth, said: Said) -> str:
    """Its minor is nobody's matter: CUDA runs what was compiled with another minor of the same major."""
    named = ".".join(filter(None, found.groups())) if (found := _CUDA.search(_local(truth))) else ""
    linked = sorted(found[1] for name in truth.needed if (found := _CUDA_RUNTIME.match(name)))
    known = {said.who: said.cuda, "its name": named, "its code": linked[0] if linked else ""}
    known = {who: cuda for who, cuda in known.items() if cuda}
    if not known:
        raise ValueError("neither its name nor its code says for which CUDA it was compiled: --cuda 13.0 says it")
    (who, cuda), *others = known.items()
    for other, its in others:
        if its.partition(".")[0] != cuda.partition(".")[0]:
            raise ValueError(f"{who} says CUDA {cuda}, and {other} CUDA {its}")
    return cuda


def _cpython(truth: WheelTruth) -> str:
    interpreters = {tuple(tag.split("-")[:2]) for tag in truth.tags}
    (interpreter, abi), *others = sorted(interpreters) or [("", "")]
    if others or interpreter != abi or not re.fullmatch(r"cp3\d+", interpreter):
        raise ValueError(f"it is for {', '.join(truth.tags) or 'nothing'}, and not for one Python")
    return interpreter


def _cxx11_abi(truth: WheelTruth, torch: str) -> bool:
    named = (found[1] == "true") if (found := _ABI.search(_local(truth))) else None
    if None not in (named, truth.cxx11_abi) and named != truth.cxx11_abi:
        raise ValueError(f"its name says the {_abi(named)} C++ ABI, and its code has the {_abi(truth.cxx11_abi)} one")
    known = truth.cxx11_abi if truth.cxx11_abi is not None else named
    if known is None and newer(_NEW_ABI_SINCE, minor(torch)):
        raise ValueError("neither its name nor its code says which C++ ABI it has")
    return known is not False


def _abi(new: bool | None) -> str:
    return "new" if new else "old"


def _machine(truth: WheelTruth) -> Machine:
    if truth.machines == ("x86_64",):
        return "x86_64"
    if truth.machines == ("aarch64",):
        return "aarch64"
    raise ValueError(f"it is compiled for {', '.join(truth.machines)}")
