"""Keeps one body to its deadline and its share of memory, ends all that it leaves, and says how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Protocol

from . import _figures, _memory, _processes

_GRACE_S = 2.0
_SHARE = 0.8  # of the memory that was free before
_LOOK_EVERY_S = 0.25
_LARGEST = 64 * 2**20  # of a verdict, in bytes
_OUTCOMES = {name: name for name in ("pass", "fail", "skip", "error")}


class Process(Protocol):
    """A body that runs."""

    number: int

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""


class Forked:
    """A body as a child of this process."""

    def __init__(self, body: Callable[[], object]) -> None:
        sys.stdout.flush()  # else both would write what is waiting there
        self.number = os.fork()
        if not self.number:
            _be_the_body(body)

    def poll(self) -> int | None:
        ended, status = os.waitpid(self.number, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None


def _be_the_body(body: Callable[[], object]) -> NoReturn:
    """In the child. It ends without tearing down: a crash or a hang while unloading is not what was claimed about."""
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _processes.die_with_parent(signal.SIGKILL)
        os.dup2(1, 2)
        body()
    finally:
        os._exit(0)


def watch(start: Callable[[], Process], deadline_s: float, verdict: Path, spared: frozenset[int]) -> dict[str, Any]:
    """The result of one check: the body's claim where it left a whole one, else an error that says why not.

    `spared` are processes of ours that outlive the check.
    """
    room = int(_memory.free() * _SHARE)
    process = start()
    status, why = _wait(process, time.monotonic() + deadline_s, room, spared, f"no verdict in {deadline_s:g} s")
    left = sorted(name for number, name in _processes.descendants().items() if number not in {process.number, *spared})
    stuck = _processes.end_descendants(_GRACE_S, spared)
    result = _error(why) if status is None else _result(verdict, status)
    if left:
        result["evidence"]["left_running"] = left
    if stuck:
        result["evidence"]["cannot_be_ended"] = stuck
    return result


def _wait(process: Process, until: float, room: int, spared: frozenset[int], late: str) -> tuple[int | None, str]:
    """The exit status; or None, and why nobody waits any longer."""
    pause, look = 0.002, time.monotonic() + _LOOK_EVERY_S
    while (now := time.monotonic()) < until:
        status = process.poll()
        if status is not None:
            return status, ""
        if now > look:
            look = now + _LOOK_EVERY_S
            taken = _memory.held(_processes.descendants().keys() - spared, room)
            if taken > room:
                return (
                    None,
                    f"took {taken / 1e9:.1f} GB of memory, and {room / 1e9:.1f} GB was its share of what was free",
                )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return None, late


def _result(verdict: Path, status: int) -> dict[str, Any]:
    how = f"was killed by {_signal_name(-status)}" if status < 0 else f"ended with status {status}"
    try:
        if (size := verdict.stat().st_size) > _LARGEST:
            return _error(f"left a verdict of {size >> 20} MiB, and {_LARGEST >> 20} are the most")
        claim = json.loads(verdict.read_bytes())
        if claim["outcome"] == "pass" and status:
            return _error(f"{how}, and had claimed to pass")
        figures = claim.get("figures", [])
        if problem := _figures.wrong(figures):
            return _error(problem)
        return {
            "outcome": _OUTCOMES[claim["outcome"]],
            "summary": str(claim["summary"]),
            "evidence": dict(claim.get("evidence", {})),
            "hint": str(claim.get("hint", "")),
            "figures": figures,
            "gpus": list(map(str, claim.get("gpus", ()))),
        }
    except FileNotFoundError:
        return _error(f"{how} and left no verdict")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _error(f"{how} and left a verdict that cannot be read")


def _error(summary: str) -> dict[str, Any]:
    return {"outcome": "error", "summary": summary, "evidence": {}, "hint": ""}


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
