"""What nobody asked for in an environment: named, never removed, and nothing unfinished is called whole beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from provision.binary import record
from provision.engine.events import Note, Subscriber
from provision.engine.integrity.manifest import Mark
from provision.engine.integrity.survey import Survey, site_packages
from provision.errors import StepFailed


def refuse(generation: Path, found: Survey, events: Subscriber, *, finished: bool) -> None:
    """A distribution beside the lock (in a finished environment it is somebody's own), and what runs at every start."""
    extra = ", ".join(found.extra)
    if extra and finished:
        events(Note(text=f"not in the lock: {extra}"))
    elif extra:
        raise StepFailed(
            f"{extra} is installed and not in the lock",
            where=str(generation),
            hint="name it in extra_packages, or take it out of this unfinished environment",
        )
    if there := hooks(generation, found.marks):
        raise StepFailed(
            f"{', '.join(there)} runs whenever this Python starts, and no package has brought it",
            where=str(site_packages(generation)),
            hint="take it out; what is to stay must come in a package that extra_packages names",
        )


def hooks(generation: Path, known: Iterable[Mark] = ()) -> list[str]:
    """What this Python would run at every start although no RECORD lists it; `known` are files that one does list."""
    site = site_packages(generation)
    there = {path.name for path in site.iterdir() if _is_hook(path.name)} if site else set()
    if site and there:
        inside = f"{site.relative_to(generation)}/"
        there -= {
            path.removeprefix(inside).partition("/")[0]
            for path in (mark.path for mark in known)
            if path.startswith(inside)
        }
    for dist_info in site.glob("*.dist-info") if site and there else ():
        with contextlib.suppress(ValueError):  # an unreadable RECORD is torn, and found for itself
            there -= {entry.path.partition("/")[0] for entry in record.entries(dist_info / "RECORD")}
    return sorted(there)


def _is_hook(name: str) -> bool:
    return name.endswith(".pth") or name.partition(".")[0] in ("sitecustomize", "usercustomize")
