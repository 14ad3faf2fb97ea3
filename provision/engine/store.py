"""The wheel store of a prefix: which wheels its environments use, and the removal of the others."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from provision.doors import files, parts
from provision.engine import environments, resolution_cache
from provision.steps.model import Lock
from provision.steps.wheel_folder import ASIDE, FOLDER, note


def referenced(prefix: Path) -> frozenset[Path]:
    """Return the wheels that environments or the last plan use, and partial downloads of them."""
    last = resolution_cache.load(prefix)
    folders = (Path(environment.path) for environment in environments.list_environments(prefix))
    return _files(prefix, (*([last.lock] if last else ()), *_locks(folders)))


def _files(prefix: Path, locks: Iterable[Lock]) -> frozenset[Path]:
    folder = prefix / FOLDER
    wheels = [pin.wheel for lock in locks for pin in lock.pins]
    unfinished = (parts.partial_path(folder / wheel.file, wheel.sha256) for wheel in wheels)
    return frozenset((*(folder / wheel.file for wheel in wheels), *unfinished))


def prune(prefix: Path, before: frozenset[Path]) -> None:
    """Remove the wheels that were in use before and are no longer.

    Wheels in use stay, because they repair an environment without a network. Wheels that no lock
    ever named stay, and so do those that took an hour to compile. The caller holds the lock of the
    prefix, so that no import is running.
    """
    if (prefix / FOLDER).is_symlink():
        return  # other prefixes may use it, too, and nobody knows which
    shutil.rmtree(prefix / FOLDER / ASIDE, ignore_errors=True)
    for path in before - referenced(prefix):
        if not note(path).exists():
            path.unlink(missing_ok=True)


def remove_toolkits(prefix: Path) -> None:
    """Remove the CUDA toolkits of a prefix, and the wheels that only they use."""
    folder = prefix / environments.TOOLKITS
    prune(prefix, _files(prefix, _locks(folder.glob("*"))))  # first, while their locks exist
    shutil.rmtree(folder, ignore_errors=True)


def _locks(folders: Iterable[Path]) -> Iterator[Lock]:
    paths = (folder / environments.STATE / "lock.json" for folder in folders)
    return filter(None, (files.read_document(path, Lock) for path in paths))
