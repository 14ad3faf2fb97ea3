"""What the engine says while it works: display, plain log and JSON lines subscribe; nothing here prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one step ended: done now, kept from an earlier run, or failed with what was wrong."""

    number: int
    name: str
    outcome: Literal["done", "kept", "failed"]
    seconds: float = 0.0
    fingerprint: str = ""
    problem: str = ""


class StepStarted(msgspec.Struct, frozen=True, kw_only=True, tag="step started"):
    """A step is about to be carried out; a step that is kept does not start."""

    number: int
    name: str
    title: str


class StepDone(msgspec.Struct, frozen=True, kw_only=True, tag="step done"):
    """A step has ended, one way or another."""

    result: StepResult


class CommandStarted(msgspec.Struct, frozen=True, kw_only=True, tag="command started"):
    """A command was started; its output goes to the log and comes as lines."""

    title: str
    command: str
    log: str


class Line(msgspec.Struct, frozen=True, kw_only=True, tag="line"):
    """One line of a command's output, secrets masked."""

    text: str


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """How far something long has come; `total` is 0 where nobody knows."""

    title: str
    done: int
    total: int
    unit: str


class Note(msgspec.Struct, frozen=True, kw_only=True, tag="note"):
    """Something that a person should know: a package that was torn and is installed anew, and why."""

    text: str


Event = StepStarted | StepDone | CommandStarted | Line | Progress | Note
Subscriber = Callable[[Event], None]


def nobody(event: object) -> None:
    """The subscriber that does not listen."""
