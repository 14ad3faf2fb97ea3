"""Events of a run. Display, log and JSON lines listen to them; nothing else prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from provision.results import CheckResult, Figure


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one step: done now, kept from an earlier run, or failed with its problem."""

    number: int
    name: str
    outcome: Literal["done", "kept", "failed"]
    seconds: float = 0.0
    fingerprint: str = ""
    problem: str = ""


class StepStarted(msgspec.Struct, frozen=True, kw_only=True, tag="step started"):
    """The start of a step. A step that is kept does not start."""

    number: int
    name: str
    title: str


class StepDone(msgspec.Struct, frozen=True, kw_only=True, tag="step done"):
    """The end of a step, well or not."""

    result: StepResult


class CommandStarted(msgspec.Struct, frozen=True, kw_only=True, tag="command started"):
    """The start of a command; its output goes to the log and comes as lines."""

    title: str
    command: str
    log: str


class Line(msgspec.Struct, frozen=True, kw_only=True, tag="line"):
    """One line of a command's output, with secrets masked."""

    text: str


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """The progress of something long; `total` is 0 if it is unknown."""

    title: str
    done: int
    total: int
    unit: str


class Note(msgspec.Struct, frozen=True, kw_only=True, tag="note"):
    """Something that a person should know, such as a damaged package that is installed again."""

    text: str


class CheckStarted(msgspec.Struct, frozen=True, kw_only=True, tag="check started"):
    """The start of a check."""

    name: str
    title: str


class CheckDone(msgspec.Struct, frozen=True, kw_only=True, tag="check done"):
    """The end of a check with its result; the child process writes its file in this form."""

    result: CheckResult
    figures: tuple[Figure, ...] = ()


Event = StepStarted | StepDone | CommandStarted | Line | Progress | Note
Subscriber = Callable[[Event], None]


def ignore(event: object) -> None:
    """Ignore an event."""
