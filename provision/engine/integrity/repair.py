"""Finds torn distributions and takes them out by hand: an installer believes what it finds, so it must find nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from provision.binary import record
from provision.engine.integrity.survey import Survey, Torn, distribution, site_packages, survey
from provision.steps.model import Lock


def find(
    generation: Path,
    lock: Lock,
    *,
    contents: bool,
    written: frozenset[str],
    changed: Iterable[str] = (),
    unfinished: AbstractSet[str] = frozenset(),
    known: Mapping[str, str] | None = None,
) -> Survey:
    """What is whole and what is torn, also where RECORD itself is what was torn.

    `changed`: files that differ from the manifest; RECORD vouches for every file but itself. `unfinished`:
    distributions of steps that did not end; a file beside theirs that nobody lists means a RECORD cut short.
    """
    found = survey(generation, lock, contents=contents, written=written, known=known)
    torn = {each.dist_info: each for each in found.torn}
    for path in changed:
        dist_info = next((part for part in Path(path).parts if part.endswith(".dist-info")), "")
        if dist_info:
            why = f"{path} is not what it was"
            torn.setdefault(
                dist_info, Torn(name=distribution(dist_info)[0], dist_info=dist_info, why=why, contents=True)
            )
    if unfinished & found.whole.keys():
        for each in _cut_short(generation):
            if each.name in unfinished:
                torn.setdefault(each.dist_info, each)
    names = {each.name for each in torn.values()}
    return msgspec.structs.replace(
        found,
        torn=tuple(torn.values()),
        whole={name: version for name, version in found.whole.items() if name not in names},
    )


def _cut_short(generation: Path) -> list[Torn]:
    site = site_packages(generation)
    try:
        strays = {finding.path.partition("/")[0] for finding in record.unlisted(site)} if site else set()
    except ValueError:  # an unreadable RECORD is found torn for itself; the next pass sees the others
        strays = set()
    if site is None or not strays:
        return []
    return [
        Torn(
            name=distribution(dist_info.name)[0],
            dist_info=dist_info.name,
            why=f"files lie beside its own that no RECORD lists, in {', '.join(sorted(beside))}",
        )
        for dist_info in site.glob("*.dist-info")
        if (beside := strays & _first_parts(dist_info))
    ]


def _first_parts(dist_info: Path) -> set[str]:
    try:
        return {entry.path.partition("/")[0] for entry in record.entries(dist_info / "RECORD")}
    except ValueError:
        return set()


def take_out(generation: Path, torn: Torn) -> None:
    """Remove a distribution: the files that its RECORD lists, their bytecode, and at last what names it installed.

    Killed in the middle, it is still named and still torn, so the next run comes back to it. Files whose RECORD
    is lost stay; installing anew writes over them.
    """
    site = site_packages(generation)
    if site is None:
        return
    dist_info = site / torn.dist_info
    try:
        listed = record.entries(dist_info / "RECORD")
    except ValueError:
        listed = []
    root = os.path.realpath(generation) + "/"
    folders = set()
    for entry in listed:
        path = site / entry.path
        # What a torn or foreign RECORD lists elsewhere, also by way of a link, is not ours to remove.
        inside = f"{os.path.realpath(path.parent)}/".startswith(root)
        if not inside or Path(os.path.normpath(path)).parent == dist_info:
            continue
        with contextlib.suppress(OSError):
            path.unlink()
        if path.suffix == ".py":
            for stale in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
                stale.unlink(missing_ok=True)
            folders.add(path.parent / "__pycache__")
        folders.add(path.parent)
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):  # what others still have files in stays
            folder.rmdir()
    shutil.rmtree(dist_info, ignore_errors=True)
