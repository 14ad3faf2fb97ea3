"""Kills builds at random moments and says what was left; the suite does it some times, benchmarks/kills.py many."""

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


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One kill: what was wrong with `current` after it, and after the same command again."""

    reached: bool
    seconds: float
    torn: bool
    after_kill: list[str]
    after_again: list[str]
    again: str


def clean_seconds(world: World, version: str) -> float:
    """How long a build takes from a warm cache; what it builds stays."""
    _build(world, version)
    for generation in environments.found(world.prefix):
        if generation.current:
            shutil.rmtree(generation.path)
    (world.prefix / "current").unlink()
    return _build(world, version)


def _build(world: World, version: str) -> float:
    began = time.monotonic()
    child = synthetic.start(world, version)
    _, said = child.communicate(timeout=120)
    if child.returncode:
        raise RuntimeError(said.decode())
    return time.monotonic() - began


def kill(world: World, version: str, after: float = 0.0, die_at: int = 0, standing: Lock | None = None) -> Outcome:
    """Start a build, kill its whole process group (or let it kill itself), look, and give the same command again.

    `standing`: the lock of what was current before, which must be current and whole until the new one is.
    """
    reached = start_and_kill(world, version, after, die_at)
    target = synthetic.lock(world.wheels, version)
    after_kill = _current(world, [lock for lock in (standing, target) if lock], may_lack=standing is None)
    torn = any(
        synthetic.differences(Path(each.path), target) for each in environments.found(world.prefix) if not each.complete
    )
    began = time.monotonic()
    again = synthetic.start(world, version)
    _, said = again.communicate(timeout=120)
    return Outcome(
        reached=reached,
        torn=torn,
        seconds=time.monotonic() - began,
        after_kill=after_kill,
        after_again=_current(world, [target], may_lack=False),
        again=said.decode() if again.returncode else "",
    )


def _current(world: World, locks: list[Lock], *, may_lack: bool) -> list[str]:
    """What is wrong with `current`: it must be one of these locks, every byte of it."""
    if not os.path.lexists(world.prefix / "current"):
        return [] if may_lack else ["current is gone"]
    found = [synthetic.differences(world.current, lock) for lock in locks]
    return min(found, key=len)


def start_and_kill(world: World, version: str, after: float, die_at: int = 0) -> bool:
    """Whether it was killed: it may have come to its end before."""
    child = synthetic.start(world, version, die_at)
    try:
        child.communicate(timeout=120 if die_at else after)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    return child.returncode == -signal.SIGKILL


def back_to(world: World, id: str | None) -> None:  # noqa: A002 - the word that generations have for it
    """Only this generation, and it is current: where every upgrade begins."""
    environments.rollback(world.prefix, id)
    for generation in environments.found(world.prefix):
        if generation.id != id:
            shutil.rmtree(generation.path)


def upgrade_seconds(world: World, id: str | None, version: str) -> float:  # noqa: A002 - likewise
    """How long an upgrade takes from a warm cache; what it builds is taken away."""
    for _ in range(2):
        seconds = _build(world, version)
        back_to(world, id)
    return seconds


def moments(seconds: float, number: int, seed: int = 0) -> list[float]:
    chance = random.Random(seed)
    return [chance.uniform(0.0, seconds) for _ in range(number)]
