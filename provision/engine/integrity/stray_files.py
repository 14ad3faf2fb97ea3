"""Report foreign distributions and start-up hooks in an environment; never remove them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from provision.engine.integrity.installed import dist_infos, site_packages, top_level_names
from provision.engine.integrity.manifest import FileMark
from provision.engine.integrity.survey import Survey
from provision.errors import StepFailed
from provision.events import Note, Subscriber


def refuse_strays(environment: Path, survey: Survey, events: Subscriber, *, finished: bool) -> None:
    """Raise StepFailed if an environment holds what must not be part of a verified one.

    A distribution that is not in the lock is only reported in a `finished` environment: the user
    installed it there. In an unfinished one it is refused. A foreign start-up hook is always
    refused, because it runs before every check.
    """
    extra = ", ".join(survey.extra)
    if extra and finished:
        events(Note(text=f"not in the lock: {extra}"))
    elif extra:
        raise StepFailed(
            f"{extra} is installed and not in the lock",
            where=str(environment),
            hint="add it to extra_packages, or remove it from this unfinished environment",
        )
    if names := startup_hooks(environment, survey.marks):
        raise StepFailed(
            f"{', '.join(names)} runs whenever this Python starts, and no package has brought it",
            where=str(site_packages(environment)),
            hint="remove it; to keep it, put it into a package that extra_packages names",
        )


def startup_hooks(environment: Path, known: Iterable[FileMark] = ()) -> list[str]:
    """List what this Python runs at every start although no RECORD lists it.

    `known` holds marks of files that a RECORD lists.
    """
    site = site_packages(environment)
    names = {path.name for path in site.iterdir() if _is_hook(path.name)} if site else set()
    if site and names:
        inside = f"{site.relative_to(environment)}/"
        paths = {mark.path for mark in known}
        # Nearly always a file: then no path of thousands has to be taken apart.
        names = {
            name
            for name in names
            if inside + name not in paths
            and not any(path.startswith(f"{inside}{name}/") for path in paths)
        }
    # RECORD files are read only if there is something to look for in them.
    for dist_info in dist_infos(environment) if names else ():
        names -= top_level_names(dist_info)
    return sorted(names)


def _is_hook(name: str) -> bool:
    return name.endswith(".pth") or name.partition(".")[0] in ("sitecustomize", "usercustomize")
