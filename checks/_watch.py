"""Runs a body in a forked process under a deadline, ends all that it leaves, and says how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from . import _processes

_GRACE_S = 2.0


def watch(body: Callable[[], None], deadline_s: float, verdict: Path) -> dict[str, Any]:
    """The result of one check: the body's claim where it left a whole one, else an error that says why not."""
    _processes.adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: _give_up(verdict.parent))
    _processes.die_with_parent(signal.SIGTERM)
    began = time.monotonic()
    process = os.fork()
    if not process:
        _be_the_body(body)
    status = _wait(process, began + deadline_s)
    seconds = time.monotonic() - began
    left = sorted(name for number, name in _processes.descendants().items() if number != process)
    stuck = _processes.end_descendants(_GRACE_S)
    result = _error(f"no verdict in {deadline_s:g} s") if status is None else _result(verdict, status)
    result["seconds"] = round(seconds, 3)
    if left:
        result["evidence"]["left_running"] = left
    if stuck:
        result["evidence"]["cannot_be_ended"] = stuck
    return result


def _be_the_body(body: Callable[[], None]) -> NoReturn:
    """In the child. It ends without tearing down: a crash or a hang while unloading is not what was claimed about."""
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _processes.die_with_parent(signal.SIGKILL)
        os.dup2(1, 2)
        body()
    finally:
        os._exit(0)


def _wait(process: int, until: float) -> int | None:
    """The exit status; None at the deadline."""
    pause = 0.002
    while time.monotonic() < until:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return None


def _result(verdict: Path, status: int) -> dict[str, Any]:
    how = f"was killed by {_signal_name(-status)}" if status < 0 else f"ended with status {status}"
    try:
        claim = json.loads(verdict.read_text())
        return {
            "outcome": str(claim["outcome"]),
            "summary": str(claim["summary"]),
            "evidence": dict(claim.get("evidence", {})),
            "hint": str(claim.get("hint", "")),
        }
    except FileNotFoundError:
        return _error(f"{how} and left no verdict")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return _error(f"{how} and left a verdict that cannot be read")


def _error(summary: str) -> dict[str, Any]:
    return {"outcome": "error", "summary": summary, "evidence": {}, "hint": ""}


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _give_up(work: Path) -> NoReturn:
    """Whoever wanted the result is gone, and would have cleared up."""
    _processes.end_descendants(0.0)
    shutil.rmtree(work, ignore_errors=True)
    os._exit(1)
