"""Step 10: refuse early, with numbers, what would fail after gigabytes."""

from __future__ import annotations

from typing import Final

from provision.plan._model import Plan
from provision.steps import Action, Lock, Need, Site, Step

_MARGIN: Final = 1.1  # plans estimate: parts of a size are those of the nearest release that was measured
_SERVING_MB: Final = 3000  # three processes of a server with a tiny model on a CPU, measured


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:  # noqa: ARG001 - the contract's signature
    return (
        Need(
            title="room for the environment",
            kind="free space",
            path=site.prefix,
            mb=int(plan.disk_mb * _MARGIN),
            hint="free some space (./setup.sh prune), or name another disk: --prefix DIR",
        ),
        Need(
            title="locks on this file system",
            kind="locks",
            path=site.prefix,
            hint="name a folder on a file system with locks: --prefix DIR",
        ),
        Need(
            title="memory to start vLLM",
            kind="memory",
            mb=_SERVING_MB,
            hint="end what takes the memory, or raise the container's limit",
        ),
    )


STEP = Step(
    number=10,
    name="preflight",
    title="Space, memory and locks",
    why="an installation that cannot end should not begin",
    actions=actions,
)
