"""flash-attn wheels of our own in the store: what each was made for, so that a later run takes it in seconds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from packaging.version import Version

from provision.catalog.rows import Catalogue, FlashAttnWheels, Machine
from provision.doors import files, parts
from provision.engine.store import FOLDER, note
from provision.flash_attn import partial_build
from provision.flash_attn.choose import build_of
from provision.flash_attn.match import BUILT
from provision.plan._model import Plan
from provision.steps.model import Lock, Pin, Wheel

FILE = r"^flash_attn-[A-Za-z0-9._+-]+\.whl$"
_Numbers = Annotated[str, msgspec.Meta(pattern=r"^\d+(\.\d+)*$")]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One wheel: its file, what it fits, and what it was made from. `version` is the one inside, once installed.

    `origin`: how it came to be; nobody knows that of what was "imported" without a note. `brought`: when it was
    imported from another store, or from wherever the user had it.
    """

    file: Annotated[str, msgspec.Meta(pattern=FILE)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    size: int
    version: str
    torch: _Numbers
    cuda: _Numbers
    cpython: Annotated[str, msgspec.Meta(pattern=r"^cp3\d+$")]
    cxx11_abi: bool
    machine: Machine
    glibc: _Numbers
    sm: tuple[str, ...]
    origin: Literal["built", "fetched", "imported"]
    third_party: bool = False
    made_from: dict[str, str] = {}
    seconds: float = 0.0
    made: str = ""
    brought: str = ""

    def __post_init__(self) -> None:
        Version(self.version)  # a note may come from anywhere

    @property
    def came(self) -> str:
        """How and when it came into the store."""
        if not self.brought:
            return f"{BUILT} here on {self.made[:10]}" if self.origin == "built" else f"fetched on {self.made[:10]}"
        return f"{f'{BUILT} elsewhere, ' if self.origin == 'built' else ''}imported on {self.brought[:10]}"

    @property
    def only(self) -> str:
        """The pattern of its sources, where not all of them were compiled; most of its functions only say so."""
        return self.made_from.get("only", "")

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
            source=self.came,
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

    @property
    def for_others(self) -> Kept:
        """Where this host fetched it from is nobody's business elsewhere; under which name it does no harm."""
        if "url" not in self.made_from:
            return self
        name = Wheel(url=self.made_from["url"], sha256="").file
        return msgspec.structs.replace(self, made_from={**self.made_from, "url": name})


def key(made_from: dict[str, str]) -> str:
    """What a build is told apart by: whatever could make another wheel is in it."""
    return "k" + hashlib.sha256(msgspec.json.encode(made_from, order="sorted")).hexdigest()[:8]


def found(prefix: Path) -> list[Kept]:
    """Every kept wheel whose file is there, the newest first. Its hash is looked at when it is taken."""
    there = [kept for kept in _noted(prefix) if _size(prefix, kept) == kept.size]
    return sorted(there, key=lambda one: (one.made, one.file), reverse=True)


def place(prefix: Path, file: str) -> Path:
    return prefix / FOLDER / file


def is_whole(prefix: Path, kept: Kept) -> bool:
    """Whether its file is the one that was noted; every byte of it is read."""
    try:
        return _size(prefix, kept) == kept.size and parts.sha256(place(prefix, kept.file)) == kept.sha256
    except OSError:
        return False


def keep(prefix: Path, wheel: Path, kept: Kept) -> Kept:
    """Move a wheel into the store: first itself, then the note without which it is nothing."""
    kept = msgspec.structs.replace(kept, sha256=parts.sha256(wheel), size=wheel.stat().st_size)
    there = place(prefix, kept.file)
    there.parent.mkdir(parents=True, exist_ok=True)
    note(there).unlink(missing_ok=True)  # of another file of this name
    with wheel.open("rb") as stream:
        os.fsync(stream.fileno())
    if wheel != there:
        os.replace(wheel, there)
    write_note(prefix, kept)
    return kept


def write_note(prefix: Path, kept: Kept) -> None:
    files.write(note(place(prefix, kept.file)), msgspec.json.encode(kept))


def forget_damaged(prefix: Path) -> frozenset[str]:
    """No longer offer a wheel that is gone or not as it was noted: it would be taken and refused again and again.

    Its file stays; it may be somebody's, and the next wheel of this name takes its place.
    """
    damaged = [kept for kept in _noted(prefix) if not is_whole(prefix, kept)]
    for kept in damaged:
        note(place(prefix, kept.file)).unlink()
    return frozenset(kept.file for kept in damaged)


def catalogue(prefix: Path, known: Catalogue) -> Catalogue:
    """What is published, and what this prefix has of its own."""
    return among(found(prefix), known)


def among(kept: Iterable[Kept], known: Catalogue) -> Catalogue:
    offered = (one.row for one in kept if one.only == partial_build.only())
    return msgspec.structs.replace(known, flash_attn=(*offered, *known.flash_attn))


def locked(prefix: Path, plan: Plan, lock: Lock) -> Lock:
    """The lock with the kept wheel that the plan names, and without any other."""
    others = lock.without(("flash-attn",))
    for kept in found(prefix):
        if kept.file == plan.flash_attn.wheel and kept.only == partial_build.only() and is_whole(prefix, kept):
            wheel = Wheel(url=place(prefix, kept.file).absolute().as_uri(), sha256=kept.sha256, size=kept.size)
            return Lock(pins=(*others.pins, Pin(name="flash-attn", version=kept.version, wheel=wheel)))
    return others


def _noted(prefix: Path) -> Iterator[Kept]:
    """Every note that can be read and lies where it belongs."""
    for path in (prefix / FOLDER).glob("*.whl.json"):
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=Kept)
        except (OSError, msgspec.MsgspecError, ValueError):
            continue
        if f"{kept.file}.json" == path.name:
            yield kept


def _size(prefix: Path, kept: Kept) -> int | None:
    try:
        return place(prefix, kept.file).stat().st_size
    except OSError:
        return None
