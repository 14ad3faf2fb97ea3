"""flash-attn wheels of our own in the store: what each was made for, so that a later run takes it in seconds."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

import msgspec

from provision.catalog.rows import Catalogue, FlashAttnWheels, Machine
from provision.doors import files, parts
from provision.engine.store import FOLDER, note
from provision.plan._model import Plan
from provision.plan.choose_flash_attn import build_of
from provision.plan.flash_attn_wheels import BUILT
from provision.steps import Lock, Pin, Wheel

_SAID = {"built": BUILT, "fetched": "fetched before", "imported": "imported"}


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One wheel: its file, what it fits, and what it was made from. `version` is the one inside, once installed."""

    file: str
    sha256: str
    size: int
    version: str
    torch: str
    cuda: str
    cpython: str
    cxx11_abi: bool
    machine: Machine
    glibc: str
    sm: tuple[str, ...]
    origin: Literal["built", "fetched", "imported"]
    third_party: bool = False
    made_from: dict[str, str] = {}
    seconds: float = 0.0
    made: str = ""

    @property
    def came_from(self) -> str:
        """The planner's name of the candidate that it once was."""
        if self.origin == "built":
            return build_of(self.version.partition("+")[0])
        return Wheel(url=self.made_from.get("url", self.file), sha256="").file

    @property
    def row(self) -> FlashAttnWheels:
        """As the planner knows wheels."""
        return FlashAttnWheels(
            source=f"{_SAID[self.origin]}, in this prefix's store",
            read=self.made[:10],
            version=self.version,
            named=self.version,
            toolkit=f"cu{self.cuda.replace('.', '')}",
            cuda=self.cuda,
            torch=(self.torch,),
            cxx11_abi=(self.cxx11_abi,),
            cpython=(self.cpython,),
            machines=(self.machine,),
            sm=self.sm,
            glibc=self.glibc,
            third_party=self.third_party,
            basis="read",
            file=self.file,
            sha256=self.sha256,
            size=self.size,
        )


def key(made_from: dict[str, str]) -> str:
    """What a build is told apart by: whatever could make another wheel is in it."""
    return "k" + hashlib.sha256(msgspec.json.encode(made_from, order="sorted")).hexdigest()[:8]


def found(prefix: Path) -> list[Kept]:
    """Every kept wheel whose file is there, the newest first."""
    there = []
    for path in (prefix / FOLDER).glob("*.whl.json"):
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=Kept)
        except (OSError, msgspec.MsgspecError):
            continue
        wheel = path.with_name(kept.file)
        if note(wheel) == path and wheel.is_file():
            there.append(kept)
    return sorted(there, key=lambda one: (one.made, one.file), reverse=True)


def keep(prefix: Path, wheel: Path, kept: Kept) -> Kept:
    """Move a wheel into the store: first itself, then the note without which it is nothing."""
    kept = msgspec.structs.replace(kept, sha256=parts.sha256(wheel), size=wheel.stat().st_size)
    place = prefix / FOLDER / kept.file
    place.parent.mkdir(parents=True, exist_ok=True)
    if wheel != place:
        os.replace(wheel, place)
    files.write(note(place), msgspec.json.encode(kept))
    return kept


def forget(prefix: Path, kept: Kept) -> None:
    """The note goes first: a wheel without one is not offered to anybody."""
    wheel = prefix / FOLDER / kept.file
    for path in (note(wheel), wheel):
        path.unlink(missing_ok=True)


def catalogue(prefix: Path, known: Catalogue) -> Catalogue:
    """What is published, and what this prefix has of its own."""
    return msgspec.structs.replace(known, flash_attn=(*(kept.row for kept in found(prefix)), *known.flash_attn))


def locked(prefix: Path, plan: Plan, lock: Lock) -> Lock:
    """The lock with the kept wheel that the plan names, and without any other."""
    pins = tuple(pin for pin in lock.pins if pin.name != "flash-attn")
    for kept in found(prefix):
        if kept.file == plan.flash_attn.wheel:
            address = (prefix / FOLDER / kept.file).absolute().as_uri()
            wheel = Wheel(url=address, sha256=kept.sha256, size=kept.size)
            return Lock(pins=(*pins, Pin(name="flash-attn", version=kept.version, wheel=wheel)))
    return Lock(pins=pins)
