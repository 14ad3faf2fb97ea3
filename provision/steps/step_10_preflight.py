"""Step 10: check space, memory, the C library and locks before anything is downloaded."""

from __future__ import annotations

from typing import Final

import msgspec

from provision.plan._model import Plan
from provision.steps.model import Action, Lock, Need, Site, Step

_MB: Final = 1024 * 1024
_MARGIN: Final = 1.1  # plans estimate sizes, in part from the nearest release that was measured
_SERVING_MB: Final = 3000  # measured: three processes of a server with a tiny model on a CPU
_ASIDE_MB: Final = 100  # a check's log is cut at 16 MB; checks use less than that in TMPDIR
_LOCKS: Final = "name a folder on a file system with locks: --prefix DIR"


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
    sizes = [pin.wheel.size for pin in lock.pins]
    # Indexes may leave sizes out; the plan's estimate then stands in.
    wheels_mb = (
        sum(sizes) // _MB if sizes and all(sizes) else max(sum(sizes) // _MB, plan.download_mb)
    )
    elsewhere = (
        _beside(site, "room for temporary files", site.temporary, "TMPDIR=DIR ./setup.sh"),
        _beside(site, "room for logs", site.logs, "--set logs=DIR"),
    )
    return (
        Need(
            title="room for the environment and its wheels",
            kind="free space",
            path=site.prefix,
            mb=int(plan.disk_mb * _MARGIN) + wheels_mb,
            hint="free some space there, or name another disk: --prefix DIR",
        ),
        *(need for need in elsewhere if need.path),
        Need(title="locks on this file system", kind="locks", path=site.prefix, hint=_LOCKS),
        *((msgspec.structs.replace(_GLIBC, version=plan.glibc),) if plan.glibc else ()),
        *(_to_start_vllm(plan) if any(name.startswith("vllm_") for name in plan.checks) else ()),
    )


def _to_start_vllm(plan: Plan) -> tuple[Need, ...]:
    """Return what the checks that start vLLM need; an environment alone needs almost none of it."""
    always = (_MEMORY, _SHARED_MEMORY, _SYS, _LOOPBACK)
    return (*always, _NUMA) if plan.profile == "cpu" else always


def _beside(site: Site, title: str, path: str, other: str) -> Need:
    """Require room for files that are written during the run, which may be on another disk."""
    return Need(
        title=title,
        kind="free space",
        path=path,
        mb=_ASIDE_MB,
        beside=site.prefix,
        hint=f"free some space there, or name another disk: {other}",
    )


_GLIBC: Final = Need(
    title="the C library that the plan is for",
    kind="glibc",
    hint="this plan was made for a newer system; make one for this host: ./setup.sh up --upgrade",
)
_MEMORY: Final = Need(
    title="memory to start vLLM",
    kind="memory",
    mb=_SERVING_MB,
    hint="stop what uses the memory, or raise the container's limit",
)
_SHARED_MEMORY: Final = Need(
    title="shared memory between the processes of vLLM",
    kind="shared memory",
    path="/dev/shm",  # noqa: S108 - it is tried, not used
    hint="as root: mount -t tmpfs -o mode=1777 tmpfs /dev/shm; in a container: --shm-size=8g",
)
_SYS: Final = Need(
    title="the processors as the kernel lists them",
    kind="readable",
    path="/sys/devices/system/cpu",
    hint="vLLM and torch read it: mount /sys in this container or chroot",
)
_LOOPBACK: Final = Need(
    title="a port for the server of a check",
    kind="loopback",
    hint="the server and its client talk over 127.0.0.1: as root, ip link set lo up",
)
# vLLM for CPUs is linked with this library, and no wheel brings it.
_NUMA: Final = Need(
    title="the library that vLLM for CPUs is linked with",
    kind="library",
    path="libnuma.so.1",
    hint="as root: apt-get install libnuma1 (Debian, Ubuntu, SUSE), "
    "dnf install numactl-libs (Fedora, RHEL)",
)

STEP = Step(
    number=10,
    name="preflight",
    title="Space, memory, C library and locks",
    why="an installation that cannot succeed should not start",
    actions=actions,
)
