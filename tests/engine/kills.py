"""Kill builds at random moments and examine the result; also for benchmarks/kills.py."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import msgspec

from provision.engine import environments
from provision.steps.model import Lock
from tests.engine import synthetic
from tests.engine.synthetic import World


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """One kill of a build and the same command again.

    `reached` is false if the build ended before the kill; `torn` is true if it left a damaged
    environment. `after_kill` and `after_retry` list what was wrong with `current` then. `failure`
    is the output of the retry if it failed.
    """

    reached: bool
    torn: bool
    after_kill: list[str]
    after_retry: list[str]
    failure: str


def clean_seconds(world: World, version: str) -> float:
    """Return how long a build takes from a warm cache; keep the environment."""
    _build(world, version)
    for environment in environments.list_environments(world.prefix):
        if environment.current:
            shutil.rmtree(environment.path)
    (world.prefix / "current").unlink()
    return _build(world, version)


def _build(world: World, version: str) -> float:
    began = time.monotonic()
    child = synthetic.start(world, version)
    _, output = child.communicate(timeout=120)
    if child.returncode:
        raise RuntimeError(output.decode())
    return time.monotonic() - began


def kill(
    world: World, version: str, after: float = 0.0, die_at: int = 0, standing: Lock | None = None
) -> Kill:
    """Start a build, kill its process group or let it kill itself, and retry the same command.

    `standing` is the lock of the environment that was current before. It must stay current and
    undamaged until the new one is.
    """
    reached = start_and_kill(world, version, after, die_at)
    target = synthetic.lock(world.wheels, version)
    after_kill = _current(
        world, [lock for lock in (standing, target) if lock], may_lack=standing is None
    )
    torn = any(
        synthetic.differences(Path(environment.path), target)
        for environment in environments.list_environments(world.prefix)
        if not environment.complete
    )
    retry = synthetic.start(world, version)
    _, output = retry.communicate(timeout=120)
    return Kill(
        reached=reached,
        torn=torn,
        after_kill=after_kill,
        after_retry=_current(world, [target], may_lack=False),
        failure=output.decode() if retry.returncode else "",
    )


def _current(world: World, locks: list[Lock], *, may_lack: bool) -> list[str]:
    """List the faults of `current`: it must hold one of these locks, byte for byte."""
    if not os.path.lexists(world.prefix / "current"):
        return [] if may_lack else ["current is missing"]
    return min((synthetic.differences(world.current, lock) for lock in locks), key=len)


def start_and_kill(world: World, version: str, after: float, die_at: int = 0) -> bool:
    """Start a build and kill it; return whether the kill came before its end."""
    child = synthetic.start(world, version, die_at)
    try:
        child.communicate(timeout=120 if die_at else after)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    return child.returncode == -signal.SIGKILL


def back_to(world: World, name: str | None) -> None:
    """Make this environment current again and remove all others."""
    environments.rollback(world.prefix, name)
    for environment in environments.list_environments(world.prefix):
        if environment.id != name:
            shutil.rmtree(environment.path)


def upgrade_seconds(world: World, name: str | None, version: str) -> float:
    """Return how long an upgrade takes from a warm cache; go back to the named environment."""
    for _ in range(2):
        seconds = _build(world, version)
        back_to(world, name)
    return seconds


def moments(seconds: float, number: int, seed: int = 0) -> list[float]:
    chance = random.Random(seed)
    return [chance.uniform(0.0, seconds) for _ in range(number)]
