"""Step 10: refuse early, with numbers, what would fail after gigabytes."""

from __future__ import annotations

from typing import Final, Literal

from provision.plan._model import Plan
from provision.steps import Action, Lock, Need, Site, Step

_MARGIN: Final = 1.1  # plans estimate: parts of a size are those of the nearest release that was measured
_SERVING_MB: Final = 3000  # three processes of a server with a tiny model on a CPU, measured
_ASIDE_MB: Final = 100  # a check's log is cut at 16 MB; what checks leave in TMPDIR while they run is less
_LOCKS: Final = "name a folder on a file system with locks: --prefix DIR"


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:  # noqa: ARG001 - the contract's signature
    whole = int(plan.disk_mb * _MARGIN)
    room = Need(
        title="room for the environment",
        kind="free space",
        path=site.prefix,
        mb=whole,
        hint="free some space there, or name another disk: --prefix DIR",
    )
    elsewhere = (
        _beside(site, "room in uv's cache", site.cache, whole, "UV_CACHE_DIR=DIR ./setup.sh", kind="room in a cache"),
        _beside(site, "room for temporary files", site.temporary, _ASIDE_MB, "TMPDIR=DIR ./setup.sh"),
        _beside(site, "room for logs", site.logs, _ASIDE_MB, "--set logs=DIR"),
    )
    _, _, glibc = plan.platform.partition("-manylinux_")
    return (
        room,
        *(need for need in elsewhere if need.path),
        Need(title="locks on this file system", kind="locks", path=site.prefix, hint=_LOCKS),
        *((_glibc(glibc.replace("_", ".")),) if glibc else ()),
        *((_MEMORY,) if any(name.startswith("vllm_") for name in plan.checks) else ()),
    )


def _beside(
    site: Site,
    title: str,
    path: str,
    mb: int,
    other: str,
    kind: Literal["free space", "room in a cache"] = "free space",
) -> Need:
    """What is written on the way, which may lie on a disk of its own."""
    hint = f"free some space there, or name another disk: {other}"
    return Need(title=title, kind=kind, path=path, mb=mb, beside=site.prefix, hint=hint)


def _glibc(version: str) -> Need:
    hint = "this plan was made for a newer system; plan for this one: ./setup.sh up --upgrade"
    return Need(title="the C library that the plan is for", kind="glibc", version=version, hint=hint)


# Only the checks that start vLLM take it; an environment alone needs next to none.
_MEMORY: Final = Need(
    title="memory to start vLLM",
    kind="memory",
    mb=_SERVING_MB,
    hint="end what takes the memory, or raise the container's limit",
)

STEP = Step(
    number=10,
    name="preflight",
    title="Space, memory, C library and locks",
    why="an installation that cannot end should not begin",
    actions=actions,
)
