"""A Session and an Outcome: what the stages of the pipeline hand on."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from provision.display.progress import EventRecorder
from provision.engine.bring_up import Built
from provision.engine.resolution_cache import Resolution
from provision.events import StepResult, ignore
from provision.host._model import Host
from provision.results import CheckResults, TaskOutcome
from provision.settings import Settings
from provision.tasks import Task


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a verb that builds or checks: its settings, places, id, options and listener.

    `target` is the host that the environment is for, if it is another one; `bundle` the folder
    that everything comes from in place of a network. `lock` is the handle of the prefix's lock.
    `only` and `start` name the steps or tasks of a partial run. In the second pass `slow` allows
    candidates of an optional step that take hours.
    """

    settings: Settings
    prefix: str
    logs: str
    run: str
    say: Callable[[str], None]
    options: argparse.Namespace = msgspec.field(default_factory=argparse.Namespace)
    target: Host | None = None
    bundle: str | None = None
    tasks: tuple[Task, ...] = ()
    lock: int | None = None  # None: nothing is changed, so no other run is kept out
    listener: EventRecorder = msgspec.field(default_factory=lambda: EventRecorder(ignore))
    only: int | None = None
    start: int | None = None
    slow: bool = False

    @property
    def is_whole(self) -> bool:
        return self.only is None and self.start is None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The environment of a resolution, and how far it came.

    `nothing_to_do`: everything was in place and verified. `owed` names checks that only the host
    can try that the environment was built for. `earlier` is the report of the verified environment
    that this one replaces, and `regressions` are the reasons for which that one stays current.
    """

    resolution: Resolution
    built: Built
    steps: tuple[StepResult, ...] = ()  # with those of candidates and of the user's tasks
    tasks: tuple[TaskOutcome, ...] = ()
    tried: CheckResults = CheckResults()
    promised: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()  # the GPUs on which checks were to be tried
    verdict: Literal["verified", "not verified", "undecided", "not provisioned"] = "not provisioned"
    exit_code: int = 4  # of a run that failed before any check could decide
    nothing_to_do: bool = False
    owed: tuple[str, ...] = ()
    facts: dict[str, Any] = {}  # the host as the checks read it
    earlier: bytes = b""
    regressions: tuple[str, ...] = ()

    @property
    def generation(self) -> str:
        return self.built.generation

    @property
    def is_current(self) -> bool:
        return (self.verdict == "verified" and not self.regressions) or bool(self.owed)

    @property
    def place(self) -> Path:
        return Path(self.generation)
