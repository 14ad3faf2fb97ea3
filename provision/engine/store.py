"""The wheels of a prefix: which of them its environments, and what is wanted next, were made of."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from provision.doors import parts
from provision.engine import environments, resolution_cache
from provision.steps.model import Lock

FOLDER = "wheels"
ASIDE = ".imported"  # a wheel that is looked at before it is taken in


def named(prefix: Path) -> frozenset[Path]:
    """What the environments of this prefix, and what is wanted, have in the store: wheels, and downloads of them."""
    last = resolution_cache.load(prefix)
    places = (Path(generation.path) for generation in environments.found(prefix))
    return _files(prefix, (*([last.lock] if last else ()), *_locks(places)))


def _files(prefix: Path, locks: Iterable[Lock]) -> frozenset[Path]:
    folder = prefix / FOLDER
    wheels = [pin.wheel for lock in locks for pin in lock.pins]
    begun = (parts.partial_path(folder / wheel.file, wheel.sha256) for wheel in wheels)
    return frozenset((*(folder / wheel.file for wheel in wheels), *begun))


def prune(prefix: Path, before: frozenset[Path]) -> None:
    """Remove what was named before and is no more. The rest repairs without a network; what we never named stays,
    and so does what took an hour to compile. The caller holds the prefix's lock: nothing is being imported.
    """
    shutil.rmtree(prefix / FOLDER / ASIDE, ignore_errors=True)
    for path in before - named(prefix):
        if not note(path).exists():
            path.unlink(missing_ok=True)


def remove_toolkits(prefix: Path) -> None:
    """First what nobody else has in the store: of what is gone, nobody knows what it took."""
    folder = prefix / environments.TOOLKITS
    prune(prefix, _files(prefix, _locks(folder.glob("*"))))
    shutil.rmtree(folder, ignore_errors=True)


def note(wheel: Path) -> Path:
    """What is known of a flash-attn wheel lies beside it."""
    return wheel.with_name(f"{wheel.name}.json")


def _locks(places: Iterable[Path]) -> Iterator[Lock]:
    for place in places:
        try:
            yield msgspec.json.decode((place / environments.STATE / "lock.json").read_bytes(), type=Lock)
        except (OSError, msgspec.MsgspecError):
            continue
