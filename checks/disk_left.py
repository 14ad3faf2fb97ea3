"""Whether there is room left where the environment, temporary files and caches are written."""

from __future__ import annotations

from . import _host
from ._contract import Check, Context, Needs
from ._host import Found

_LEAST_GB = {"tmpdir": 2.0, "cache": 2.0, "logs": 0.2, "models": 2.0}


def look(context: Context) -> Found:
    disks = _host.fact(context.facts, "disks")
    room = {"prefix": context.plan.get("disk_mb", 0) / 1024, **_LEAST_GB}
    problems = []
    for role, least in room.items():
        disk = disks.get(role)
        if disk is None:
            continue
        named = f"{disk['path']} ({role})"
        if disk["free_gb"] < least:
            why = ", and another environment such as this one takes" if role == "prefix" else " of"
            problems.append(f"{named} has {disk['free_gb']:.1f} GiB left{why} {least:.1f} GiB")
        if not disk["writable"] or "ro" in disk["options"]:
            problems.append(f"{named} cannot be written")
        elif "noexec" in disk["options"]:
            problems.append(f"{named} is mounted noexec: what is compiled there does not load")
    left = {role: disks[role]["free_gb"] for role in room if role in disks}
    if not left:
        raise _host.Unread("disk space could not be read: no folder was looked at")
    hint = (
        "vllm-ready prune and uv cache prune make room; --prefix, TMPDIR, XDG_CACHE_HOME and HF_HOME name other places"
    )
    least_of_all = min(left, key=lambda role: left[role])
    return Found(
        problems,
        f"{left[least_of_all]:.1f} GiB left in {disks[least_of_all]['path']}, more elsewhere",
        {"free_gb": left},
        hint,
    )


CHECK = Check(
    name="disk_left",
    title="Disk space",
    proves="another environment, temporary files and compile caches have room, where files may be run",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=Needs(recording=True),
    body=_host.judged(look),
)
