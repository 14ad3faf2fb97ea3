"""The flash-attn wheels that a prefix keeps for later runs, with notes on what they fit."""

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
from provision.flash_attn import partial_build
from provision.flash_attn.choose import build_name
from provision.flash_attn.match import BUILT
from provision.plan._model import OPTIONAL, Plan
from provision.steps.model import Lock, Pin, Wheel
from provision.steps.wheel_folder import FOLDER, note

FILE = r"^flash_attn-[A-Za-z0-9._+-]+\.whl$"
_Numbers = Annotated[str, msgspec.Meta(pattern=r"^\d+(\.\d+)*$")]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A kept wheel: its file, what it fits, and what it was made from.

    `version` is the installed one. `origin` says how the wheel came to be: "imported" if it came
    without a note. `brought` is when it was imported from another store or from the user.
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
    def origin_text(self) -> str:
        """Return in words how and when it came into the store."""
        if self.brought:
            elsewhere = f"{BUILT} elsewhere, " if self.origin == "built" else ""
            return f"{elsewhere}imported on {self.brought[:10]}"
        if self.origin == "built":
            return f"{BUILT} here on {self.made[:10]}"
        return f"fetched on {self.made[:10]}"

    @property
    def only(self) -> str:
        """The pattern of its sources, if only some were compiled: its other functions raise."""
        return self.made_from.get("only", "")

    @property
    def candidate(self) -> str:
        """The planner's name of the candidate that it was."""
        if self.origin == "built":
            return build_name(self.version.partition("+")[0])
        return Wheel(url=self.made_from.get("url", self.file), sha256="").file

    @property
    def row(self) -> FlashAttnWheels:
        """The wheel as a row of the planner's catalogue."""
        return FlashAttnWheels(
            source=self.origin_text,
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
        """The note for other hosts, without the address of its source, which may be private."""
        if "url" not in self.made_from:
            return self
        return msgspec.structs.replace(
            self,
            made_from={**self.made_from, "url": Wheel(url=self.made_from["url"], sha256="").file},
        )


def key(made_from: dict[str, str]) -> str:
    """Return a short key of everything that could make another wheel of the same name."""
    return "k" + hashlib.sha256(msgspec.json.encode(made_from, order="sorted")).hexdigest()[:8]


def kept_wheels(prefix: Path) -> list[Kept]:
    """Return every kept wheel whose file exists, newest first. Hashes are checked on use."""
    return sorted(
        [wheel for wheel in _noted(prefix) if _size(prefix, wheel) == wheel.size],
        key=lambda wheel: (wheel.made, wheel.file),
        reverse=True,
    )


def path_of(prefix: Path, file: str) -> Path:
    return prefix / FOLDER / file


def is_intact(prefix: Path, kept: Kept) -> bool:
    """Return whether the file is the noted one. Every byte is read."""
    try:
        is_complete = _size(prefix, kept) == kept.size
        return is_complete and parts.sha256(path_of(prefix, kept.file)) == kept.sha256
    except OSError:
        return False


def keep(prefix: Path, wheel: Path, kept: Kept) -> Kept:
    """Move a wheel into the store, and then write the note without which it is not offered."""
    digest, size = parts.sha256(wheel), wheel.stat().st_size
    kept = msgspec.structs.replace(kept, sha256=digest, size=size)
    path = path_of(prefix, kept.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    note(path).unlink(missing_ok=True)  # that of an older file of this name
    with wheel.open("rb") as stream:
        os.fsync(stream.fileno())
    if wheel != path:
        os.replace(wheel, path)
    write_note(prefix, kept)
    return kept


def write_note(prefix: Path, kept: Kept) -> None:
    files.write(note(path_of(prefix, kept.file)), msgspec.json.encode(kept))


def forget_damaged(prefix: Path) -> frozenset[str]:
    """Remove the notes of missing and damaged wheels, and return the names of the files.

    Else such a wheel would be chosen and refused again and again. Its file stays, as it may be the
    user's; the next wheel of this name replaces it.
    """
    damaged = [kept for kept in _noted(prefix) if not is_intact(prefix, kept)]
    for kept in damaged:
        note(path_of(prefix, kept.file)).unlink()
    return frozenset(kept.file for kept in damaged)


def catalogue(prefix: Path, known: Catalogue) -> Catalogue:
    return with_wheels(kept_wheels(prefix), known)


def with_wheels(kept: Iterable[Kept], known: Catalogue) -> Catalogue:
    """Return a catalogue with some kept wheels. Wheels of another pattern are left out."""
    return msgspec.structs.replace(
        known,
        flash_attn=(
            *(wheel.row for wheel in kept if wheel.only == partial_build.only()),
            *known.flash_attn,
        ),
    )


def lock_kept_wheel(prefix: Path, plan: Plan, lock: Lock) -> Lock:
    """Return the lock with the kept wheel that the plan names, and without any other."""
    others = lock.without((OPTIONAL,))
    for kept in kept_wheels(prefix):
        if (
            kept.file == plan.flash_attn.wheel
            and kept.only == partial_build.only()
            and is_intact(prefix, kept)
        ):
            wheel = Wheel(
                url=path_of(prefix, kept.file).absolute().as_uri(),
                sha256=kept.sha256,
                size=kept.size,
            )
            return Lock(pins=(*others.pins, Pin(name=OPTIONAL, version=kept.version, wheel=wheel)))
    return others


def _noted(prefix: Path) -> Iterator[Kept]:
    """Yield every readable note that lies beside the wheel it names."""
    for path in (prefix / FOLDER).glob("*.whl.json"):
        kept = files.read_document(path, Kept)
        if kept and f"{kept.file}.json" == path.name:
            yield kept


def _size(prefix: Path, kept: Kept) -> int | None:
    try:
        return path_of(prefix, kept.file).stat().st_size
    except OSError:
        return None
