"""The wheels of a prefix: which of them its environments, and what is wanted next, were made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from provision.doors import download
from provision.engine import generations, wanted
from provision.steps import Lock

FOLDER = "wheels"


def named(prefix: Path) -> frozenset[Path]:
    """What environments, toolkits and what is wanted have in the store of a prefix: wheels, and downloads of them."""
    folder = prefix / FOLDER
    wheels = [pin.wheel for lock in _locks(prefix) for pin in lock.pins]
    begun = (download.part_of(folder / wheel.file, wheel.sha256) for wheel in wheels)
    return frozenset((*(folder / wheel.file for wheel in wheels), *begun))


def prune(prefix: Path, before: frozenset[Path]) -> None:
    """Remove what was named before and is no more. The rest repairs without a network; what we never named stays,
    and so does what took an hour to compile.
    """
    for path in before - named(prefix):
        if not note(path).exists():
            path.unlink(missing_ok=True)


def note(wheel: Path) -> Path:
    """What is known of a flash-attn wheel lies beside it."""
    return wheel.with_name(f"{wheel.name}.json")


def _locks(prefix: Path) -> Iterator[Lock]:
    if last := wanted.load(prefix):
        yield last.lock
    places = [Path(generation.path) for generation in generations.found(prefix)]
    for place in (*places, *(prefix / generations.TOOLKITS).glob("*")):
        try:
            yield msgspec.json.decode((place / generations.STATE / "lock.json").read_bytes(), type=Lock)
        except (OSError, msgspec.MsgspecError):
            continue
