"""Holds one body to its deadline and share of memory, ends its processes, reads its claim."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from . import _figures, _memory, _processes
from ._conclude import error_claim

_GRACE_S = 2.0
# Of the memory that was free before the check. The rest keeps the host, and us, alive.
_SHARE = 0.8
_MEMORY_EVERY_S = 0.25
# Real claims have a few kilobytes; one that writes without end must not fill our own memory.
_LARGEST_CLAIM = 64 * 2**20
_OUTCOMES = {name: name for name in ("pass", "fail", "skip", "error")}


class Process(NamedTuple):
    """A running body; `poll` returns its exit status, negative for a signal, or None before."""

    number: int
    poll: Callable[[], int | None]


def fork(body: Callable[[], object]) -> Process:
    sys.stdout.flush()  # else both processes would write what is waiting there
    number = os.fork()
    if not number:
        _run_in_child(body)
    return Process(number, partial(_exit_status, number))


def _exit_status(number: int) -> int | None:
    ended, status = os.waitpid(number, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _run_in_child(body: Callable[[], object]) -> NoReturn:
    """Run the body and end at once: a crash or a hang while unloading is not part of the claim."""
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _processes.die_with_parent(signal.SIGKILL)
        os.dup2(1, 2)
        body()
    finally:
        os._exit(0)


def watch(
    start: Callable[[], Process], deadline_s: float, file: Path, spared: frozenset[int]
) -> dict[str, Any]:
    """Start a body and return its claim, or an error that says why there is no valid one.

    `spared` are processes of ours that outlive the check.
    """
    limit = int(_memory.free() * _SHARE)
    process = start()
    status, problem = _wait(process, time.monotonic() + deadline_s, limit, spared)
    running = sorted(
        name
        for number, name in _processes.descendants().items()
        if number not in {process.number, *spared}
    )
    stuck = _processes.end_descendants(_GRACE_S, spared)
    late = error_claim(problem or f"no verdict in {deadline_s:g} s")
    claim = late if status is None else _read_claim(file, status)
    if running:
        claim["evidence"]["left_running"] = running
    if stuck:
        claim["evidence"]["cannot_be_ended"] = stuck
    return claim


def _wait(
    process: Process, until: float, limit: int, spared: frozenset[int]
) -> tuple[int | None, str]:
    """Return the exit status; or None, with the reason if it was not the deadline."""
    # The pause grows: most bodies end within milliseconds, and long ones should not be disturbed.
    pause, measure_at = 0.002, time.monotonic() + _MEMORY_EVERY_S
    while (now := time.monotonic()) < until:
        status = process.poll()
        if status is not None:
            return status, ""
        if now > measure_at:
            measure_at = now + _MEMORY_EVERY_S
            held = _memory.held(_processes.descendants().keys() - spared, limit)
            if held > limit:
                allowed = f"{limit / 1e9:.1f} GB was its share of what was free"
                return None, f"took {held / 1e9:.1f} GB of memory, and {allowed}"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return None, ""


def _read_claim(file: Path, status: int) -> dict[str, Any]:
    how = describe_end(status)
    try:
        if (size := file.stat().st_size) > _LARGEST_CLAIM:
            return error_claim(
                f"left a verdict of {size >> 20} MiB; "
                f"at most {_LARGEST_CLAIM >> 20} MiB are allowed"
            )
        claim = json.loads(file.read_bytes())
        # A crash after the claim, for example while a library unloads, is a fault all the same.
        if claim["outcome"] == "pass" and status:
            return error_claim(f"{how}, and had claimed to pass")
        figures = claim.get("figures", [])
        if problem := _figures.problem(figures):
            return error_claim(problem)
        return {
            "outcome": _OUTCOMES[claim["outcome"]],
            "summary": str(claim["summary"]),
            "evidence": dict(claim.get("evidence", {})),
            "hint": str(claim.get("hint", "")),
            "figures": figures,
            "gpus": list(map(str, claim.get("gpus", ()))),
        }
    except FileNotFoundError:
        return error_claim(f"{how} and left no verdict")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return error_claim(f"{how} and left a verdict that cannot be read")


def describe_end(status: int, verb: str = "killed") -> str:
    """Return how a process with this exit status ended."""
    if status >= 0:
        return f"ended with status {status}"
    with contextlib.suppress(ValueError):
        return f"was {verb} by {signal.Signals(-status).name}"
    return f"was {verb} by signal {-status}"
