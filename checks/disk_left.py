"""Checks that disks have room for another environment, temporary files and caches."""

from __future__ import annotations

from . import _host
from ._contract import Context, Needs
from ._host import Observation

# GiB. Argued, not measured: temporary files, compile caches and logs are small, so 2 GiB leave
# room to spare. For another environment the plan knows the size.
_LEAST_GB = {"tmpdir": 2.0, "cache": 2.0, "logs": 0.2, "models": 2.0}
_HINT = (
    "./setup.sh prune and uv cache prune make room; "
    "--prefix, TMPDIR, XDG_CACHE_HOME and HF_HOME name other places"
)


def look(context: Context) -> Observation:
    disks = _host.fact(context.facts, "disks")
    least_gb = {"prefix": context.plan.get("disk_mb", 0) / 1024, **_LEAST_GB}
    problems, free_gb = [], {}
    for role, least in least_gb.items():
        disk = disks.get(role)
        if disk is None:
            continue
        free_gb[role] = free = disk["free_gb"]
        name = f"{disk['path']} ({role})"
        if free < least:
            usual = f"at least {least:.1f} GiB are needed"
            copy = f"another environment like this one takes {least:.1f} GiB"
            problems.append(
                f"{name} has {free:.1f} GiB left; {copy if role == 'prefix' else usual}"
            )
        if not disk["writable"] or "ro" in disk["options"]:
            problems.append(f"{name} cannot be written")
        elif "noexec" in disk["options"]:
            problems.append(
                f"{name} is mounted noexec: libraries that are compiled there do not load"
            )
    if not free_gb:
        raise _host.UnreadableFact("disk space could not be read: no folder was recorded")
    fullest = min(free_gb, key=lambda role: free_gb[role])
    return Observation(
        problems,
        f"{free_gb[fullest]:.1f} GiB left in {disks[fullest]['path']}, more elsewhere",
        {"free_gb": free_gb},
        _HINT,
    )


CHECK = _host.check(
    look,
    title="Disk space",
    proves="another environment, temporary files and compile caches have room, "
    "where files may be executed",
    weight="should",
    needs=Needs(recording=True),
)
