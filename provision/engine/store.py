"""The wheels of a prefix: which of them its environments, and what is wanted next, were made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from provision.doors import download
from provision.engine import generations, wanted
from provision.steps import Lock

FOLDER = "wheels"


def prune(prefix: Path) -> None:
    """Remove what no environment of this prefix is made of; the rest repairs them, also without a network."""
    folder = prefix / FOLDER
    wheels = [pin.wheel for lock in _locks(prefix) for pin in lock.pins]
    named = {folder / wheel.file for wheel in wheels}
    begun = {download.part_of(folder / wheel.file, wheel.sha256) for wheel in wheels}
    for path in (*folder.glob("*.whl"), *folder.glob(".*.whl.*.part")):
        if path not in named | begun and path.is_file():
            path.unlink()


def _locks(prefix: Path) -> Iterator[Lock]:
    if last := wanted.load(prefix):
        yield last.lock
    for generation in generations.found(prefix):
        try:
            yield msgspec.json.decode((Path(generation.path) / generations.STATE / "lock.json").read_bytes(), type=Lock)
        except (OSError, msgspec.MsgspecError):
            continue
