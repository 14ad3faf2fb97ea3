"""Step, Run, Write and Need: what a numbered step may say. A step says; only the engine does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from provision.plan._model import Plan


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """One distribution of the lock."""

    name: str
    version: str
    hashes: tuple[str, ...]


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """The whole environment, resolved before anything changes: `text` is what uv installs from, hashes and all."""

    text: str
    pins: tuple[Pin, ...]

    def version(self, name: str) -> str | None:
        return next((pin.version for pin in self.pins if pin.name == name), None)


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Every place that a step may name. `generation` is the virtual environment that is being built.

    `cache` (uv's), `temporary` and `logs` are written on the way; "" is where nothing is asked of them.
    """

    generation: str
    prefix: str
    uv: str
    host_python: str
    link_mode: Literal["clone", "copy"] = "copy"
    cache: str = ""
    temporary: str = ""
    logs: str = ""

    @property
    def python(self) -> str:
        return f"{self.generation}/bin/python"

    @property
    def state(self) -> str:
        """Plan, lock, journal and verified reports lie here, inside the generation."""
        return f"{self.generation}/.vllm-ready"

    @property
    def lock_file(self) -> str:
        return f"{self.state}/lock.txt"


class Run(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """A command: an argv list, and how its environment differs. It may be started again after it was killed."""

    title: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    deadline_s: float = 3600.0


class Write(msgspec.Struct, frozen=True, kw_only=True, tag="write"):
    """A file, written whole or not at all."""

    title: str
    path: str
    text: str
    mode: int = 0o644


class Need(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="need"):
    """What must hold before anything is changed; `hint` is what to do where it does not.

    `beside`: a folder whose disk another need speaks of; on that disk this one is met.
    """

    title: str
    kind: Literal["free space", "room in a cache", "memory", "glibc", "locks"]
    path: str = ""
    mb: int = 0
    version: str = ""
    beside: str = ""
    hint: str = ""


Action = Run | Write | Need


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A numbered unit of work: a pure function from plan, lock and site to actions, and what it leaves behind.

    `leaves` names the distributions that are in the environment afterwards, at the lock's version and whole.
    """

    number: int
    name: str
    title: str
    why: str
    actions: Callable[[Plan, Lock, Site], tuple[Action, ...]]
    leaves: Callable[[Plan, Lock], tuple[str, ...]] = lambda plan, lock: ()  # noqa: ARG005 - most leave none

    @property
    def label(self) -> str:
        return f"{self.number}-{self.name}"
