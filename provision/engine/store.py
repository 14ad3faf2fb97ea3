"""The wheels of a prefix: which of them its environments, and what is wanted next, were made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from provision.engine import generations, wanted
from provision.steps import Lock

FOLDER = "wheels"


def prune(prefix: Path) -> None:
    """Remove what no environment of this prefix is made of; the rest repairs them, also without a network."""
    named = {pin.wheel.file for lock in _locks(prefix) for pin in lock.pins}
    for path in (*(prefix / FOLDER).glob("*.whl"), *(prefix / FOLDER).glob(".*.whl.*.part")):
        file = path.name.lstrip(".").partition(".whl")[0] + ".whl"  # of a download that was begun, too
        if file not in named and path.is_file():
            path.unlink()


def _locks(prefix: Path) -> Iterator[Lock]:
    if last := wanted.load(prefix):
        yield last.lock
    for generation in generations.found(prefix):
        try:
            yield msgspec.json.decode((Path(generation.path) / generations.STATE / "lock.json").read_bytes(), type=Lock)
        except (OSError, msgspec.MsgspecError):
            continue
