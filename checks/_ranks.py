"""A group of ranks, each a process: started, followed by its messages, judged, and always ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from . import _devices, _watchdog

# Starts a rank with a request and environment variables, and returns the number of its process.
Start = Callable[[dict[str, Any], dict[str, str]], int]
Outcome = Literal["healthy", "hangs", "wrong data", "died"]
Messages = list[dict[str, Any]]

# Ranks meet on this host only; one thread each, or they would take each other's cores.
_LOCAL = {"NCCL_SOCKET_IFNAME": "lo", "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
_LAST_WORDS_S = 1.0  # for the other ranks to report why, once one has died


@dataclass(frozen=True)
class Patience:
    """Seconds without a message: until torch is imported everywhere, and between later steps."""

    start_s: float = 240.0
    step_s: float = 60.0


@dataclass(frozen=True)
class GroupRun:
    """The outcome of a group; `problem` names step and rank, `messages` are those of each rank."""

    outcome: Outcome
    problem: str
    messages: list[Messages] = field(default_factory=list)
    seconds: float = 0.0

    def evidence(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "what": self.problem,
            "ranks_reached": [_step(messages) for messages in self.messages],
            "seconds": round(self.seconds, 1),
        }


def spawn(request: dict[str, Any], environment: dict[str, str]) -> int:
    """Start a rank in a fresh interpreter, and not as a fork.

    Imports, threads and variables of this process have no part in it, and NCCL sees the variables
    of this run alone.
    """
    path = str(Path(__file__).with_name("_rank.py"))
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-B", path, json.dumps(request)],
        {**os.environ, **environment},
    )


def run_group(
    request: dict[str, Any],
    folder: Path,
    environment: dict[str, str],
    *,
    start: Start = spawn,
    patience: Patience = Patience(),
) -> GroupRun:
    """Run all ranks once and end them. Raise MemoryError if a GPU has no room for them."""
    folder.mkdir(parents=True)
    count, began = request["count"], time.monotonic()
    files = [folder / f"rank-{rank}" for rank in range(count)]
    running: dict[int, int] = {}
    order = {**request, "store": str(folder / "store")}
    try:
        for rank, file in enumerate(files):
            own = {**order, "rank": rank, "said": str(file)}
            running[start(own, {**_LOCAL, **environment})] = rank
        outcome, problem = _follow(files, running, patience, request["backend"])
    finally:
        _end(running)
    if outcome == "died" and _devices.means_full(problem):
        raise _devices.full_error("a GPU", problem)
    messages, seconds = [_read(file) for file in files], time.monotonic() - began
    return GroupRun(outcome=outcome, problem=problem, messages=messages, seconds=seconds)


def _follow(
    files: list[Path], running: dict[int, int], patience: Patience, backend: str
) -> tuple[Outcome, str]:
    count, last_news = 0, time.monotonic()
    while True:
        messages = [_read(file) for file in files]
        if (total := sum(map(len, messages))) > count:
            count, last_news = total, time.monotonic()
        if all(_step(own) == "the end" for own in messages):
            return _judge(messages, backend)
        if ended := _reap(running):
            time.sleep(_LAST_WORDS_S)
            return "died", _describe_death(
                ended | _reap(running), [_read(file) for file in files], backend
            )
        if time.monotonic() > last_news + (
            patience.step_s if all(len(own) > 1 for own in messages) else patience.start_s
        ):
            return "hangs", describe_hang(messages, backend)
        time.sleep(0.02)


def _judge(messages: list[Messages], backend: str) -> tuple[Outcome, str]:
    wrong = [
        (rank, message["wrong"])
        for rank, own in enumerate(messages)
        for message in own
        if "wrong" in message
    ]
    if not wrong:
        return "healthy", ""
    step = wrong[0][1].partition(":")[0]
    ranks = [rank for rank, text in wrong if text.startswith(f"{step}:")]
    text = wrong[0][1].removeprefix(f"{step}: ")
    return "wrong data", f"{step} is wrong on {_names(ranks, len(messages), backend)}: {text}"


def describe_hang(messages: list[Messages], backend: str) -> str:
    """Return the step in which all ranks hang, or the ranks that are behind and where."""
    progress = [len(own) for own in messages]
    behind = [rank for rank, steps in enumerate(progress) if steps == min(progress)]
    where = _step(messages[behind[0]])
    if min(progress) == max(progress):
        return f"{where} hangs on all {len(messages)} {_kind(backend)}"
    front = _step(messages[progress.index(max(progress))])
    return f"{_names(behind, len(messages), backend)} hangs in {where}, the others are at {front}"


def _describe_death(ended: dict[int, int], messages: list[Messages], backend: str) -> str:
    errors = {rank: message for rank in ended for message in messages[rank] if "problem" in message}
    # A rank that was killed is the cause, before one that raised an error; of those the first,
    # since the later ones only complain that it is gone.
    rank = min(ended, key=lambda rank: (ended[rank] >= 0, errors.get(rank, {}).get("clock", 0)))
    status, problem = ended[rank], errors.get(rank, {}).get("problem", "")
    how = _watchdog.describe_end(status)
    where = f"{_names([rank], len(messages), backend)} {how} in {_step(messages[rank])}"
    return f"{where}: {problem}" if problem else where


def _kind(backend: str) -> str:
    return "GPUs" if backend == "nccl" else "processes"


def _names(ranks: list[int], count: int, backend: str) -> str:
    if len(ranks) == count:
        return f"all {count} {_kind(backend)}"
    return ("GPU " if backend == "nccl" else "process ") + ", ".join(map(str, ranks))


def _step(messages: Messages) -> str:
    return next(
        (str(message["at"]) for message in reversed(messages) if "at" in message), "starting"
    )


def _read(file: Path) -> Messages:
    with contextlib.suppress(FileNotFoundError):
        lines = file.read_text().splitlines(keepends=True)
        # The last line may still be in the course of being written.
        return [json.loads(line) for line in lines if line.endswith("\n")]
    return []


def _reap(running: dict[int, int]) -> dict[int, int]:
    """Return the exit status of each rank that has ended; none ends by itself."""
    statuses = {}
    for process, rank in list(running.items()):
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            statuses[rank] = os.waitstatus_to_exitcode(status)
            del running[process]
    return statuses


def _end(running: dict[int, int]) -> None:
    for process in running:
        os.kill(process, signal.SIGKILL)
    # One that waits inside a driver may not end; the watchdog of this check reports it.
    until = time.monotonic() + 5.0
    while running and time.monotonic() < until:
        _reap(running)
        time.sleep(0.02)
