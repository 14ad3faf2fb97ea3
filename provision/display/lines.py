"""The permanent lines of a run: one for each step, check and note, at any width."""

from __future__ import annotations

import re
import textwrap

from provision.events import CheckDone, CheckStarted, Event, Note, StepDone, StepResult
from provision.results import CheckResult

RunEvent = Event | CheckStarted | CheckDone

_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)?")
_HEAD = 48  # columns of a step with its name, outcome and time
_BESIDE = 90  # columns from which on a summary stands beside its head


def permanent(event: RunEvent, width: int | None) -> str:
    match event:
        case StepDone(result=result) if result.outcome != "kept":
            return _step(result, width)
        case CheckDone(result=result):
            return _check(result, width)
        case Note(text=text):
            return note(text, width)
    return ""


def note(text: str, width: int | None) -> str:
    return _hanging(" " * 5, text, width, 5)


def plain(text: str) -> str:
    """Return text on one line, without control codes of a terminal."""
    return "".join(
        letter if letter.isprintable() else " " for letter in _CONTROL.sub("", text)
    ).rstrip()


def _step(result: StepResult, width: int | None) -> str:
    if _fits(width, _HEAD):
        return f"  {result.number:>2} {result.name:<26}{result.outcome:<6}{result.seconds:>7.1f} s"
    return f"  {result.number:>2} {result.name} {result.outcome} {result.seconds:.1f} s"


def _check(result: CheckResult, width: int | None) -> str:
    head = f"     {result.name:<26}{result.outcome:<6}{result.seconds:>7.1f} s"
    if not _fits(width, _HEAD):
        head = f"     {result.name} {result.outcome} {result.seconds:.1f} s"
    if _fits(width, _BESIDE) or _fits(width, len(head) + 2 + len(result.summary)):
        return _hanging(f"{head}  ", result.summary, width, len(head) + 2)
    return f"{head}\n{_hanging(' ' * 7, result.summary, width, 7)}"


def _fits(width: int | None, columns: int) -> bool:
    return width is None or width >= columns


def _hanging(head: str, text: str, width: int | None, indent: int) -> str:
    """Return text behind a head, wrapped only if a terminal would break it inside a word."""
    if width is None:
        return (head + plain(text)).rstrip()
    lines = textwrap.wrap(plain(text), max(width - indent, 20), break_on_hyphens=False) or [""]
    return (head + f"\n{' ' * indent}".join(lines)).rstrip()
