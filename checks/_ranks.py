"""A group of ranks, each a process: started, listened to, judged by how far they come, and ended in any case."""

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

from . import _devices

# Starts a rank that is asked this with these variables, and tells its process.
Start = Callable[[dict[str, Any], dict[str, str]], int]

_LOCAL = {"NCCL_SOCKET_IFNAME": "lo", "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
_HEARD_S = 1.0  # how long the others may still say why, once one has died


@dataclass(frozen=True)
class Patience:
    """Seconds without any news: until torch is imported everywhere, and between steps from then on."""

    start_s: float = 240.0
    step_s: float = 60.0


@dataclass(frozen=True)
class Try:
    """How a group fared, in words that name the step and the rank; `said` holds the figures, by rank."""

    how: Literal["healthy", "hangs", "wrong data", "died"]
    what: str
    said: list[list[dict[str, Any]]] = field(default_factory=list)
    seconds: float = 0.0

    def evidence(self) -> dict[str, Any]:
        reached = [_at(words) for words in self.said]
        return {"outcome": self.how, "what": self.what, "ranks_reached": reached, "seconds": round(self.seconds, 1)}


def spawn(asked: dict[str, Any], environment: dict[str, str]) -> int:
    """A fresh interpreter and not a fork: what the body or those before it imported, threads and variables that are
    read on import have no part in it, and NCCL sees the variables of this try alone."""
    path = str(Path(__file__).with_name("_rank.py"))
    argv = [sys.executable, "-I", "-B", path, json.dumps(asked)]
    return os.posix_spawn(sys.executable, argv, {**os.environ, **environment})


def go(
    asked: dict[str, Any],
    folder: Path,
    environment: dict[str, str],
    *,
    start: Start = spawn,
    patience: Patience = Patience(),
) -> Try:
    """One try of all ranks; none is left when it is over. MemoryError where a GPU has no room for them."""
    folder.mkdir(parents=True)
    count, began = asked["count"], time.monotonic()
    files = [folder / f"rank-{rank}" for rank in range(count)]
    running: dict[int, int] = {}
    try:
        for rank, file in enumerate(files):
            one = {**asked, "rank": rank, "said": str(file), "store": str(folder / "store")}
            running[start(one, {**_LOCAL, **environment})] = rank
        how, what = _followed(files, running, patience, asked["backend"])
    finally:
        _end(running)
    if how == "died" and _devices.full(what):
        raise _devices.lacking("a GPU", what)
    said = [_said(file) for file in files]
    return Try(how=how, what=what, said=said, seconds=time.monotonic() - began)


Outcome = tuple[Literal["healthy", "hangs", "wrong data", "died"], str]


def _followed(files: list[Path], running: dict[int, int], patience: Patience, backend: str) -> Outcome:
    heard, news = 0, time.monotonic()
    while True:
        said = [_said(file) for file in files]
        if (words := sum(map(len, said))) > heard:
            heard, news = words, time.monotonic()
        if all(_at(each) == "the end" for each in said):
            return _judged(said, backend)
        if ended := _ended(running):
            time.sleep(_HEARD_S)
            return "died", _deaths(ended | _ended(running), [_said(file) for file in files], backend)
        started = all(len(each) > 1 for each in said)
        if time.monotonic() > news + (patience.step_s if started else patience.start_s):
            return "hangs", _hang(said, backend)
        time.sleep(0.02)


def _judged(said: list[list[dict[str, Any]]], backend: str) -> Outcome:
    wrong = [(rank, word["wrong"]) for rank, words in enumerate(said) for word in words if "wrong" in word]
    if not wrong:
        return "healthy", ""
    first = wrong[0][1].partition(":")[0]
    ranks = [rank for rank, text in wrong if text.startswith(f"{first}:")]
    text = wrong[0][1].removeprefix(f"{first}: ")
    return "wrong data", f"{first} is wrong on {_names(ranks, len(said), backend)}: {text}"


def _hang(said: list[list[dict[str, Any]]], backend: str) -> str:
    """All in one step, or those that are behind and what the others wait in."""
    far = [len(words) for words in said]
    behind = [rank for rank, steps in enumerate(far) if steps == min(far)]
    where, front = _at(said[behind[0]]), _at(said[far.index(max(far))])
    if min(far) == max(far):
        return f"{where} hangs on all {len(said)} {_kind(backend)}"
    return f"{_names(behind, len(said), backend)} hangs in {where}, the others are at {front}"


def _deaths(ended: dict[int, int], said: list[list[dict[str, Any]]], backend: str) -> str:
    """Who was killed goes before who raised something, and who did so first before who complains that it is gone."""
    raised = {rank: word for rank in ended for word in said[rank] if "problem" in word}
    rank = min(ended, key=lambda rank: (ended[rank] >= 0, raised.get(rank, {}).get("clock", 0)))
    status = ended[rank]
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    problem = raised.get(rank, {}).get("problem", "")
    return f"{_names([rank], len(said), backend)} {how} in {_at(said[rank])}{problem and f': {problem}'}"


def _kind(backend: str) -> str:
    return "GPUs" if backend == "nccl" else "processes"


def _names(ranks: list[int], count: int, backend: str) -> str:
    if len(ranks) == count:
        return f"all {count} {_kind(backend)}"
    return ("GPU " if backend == "nccl" else "process ") + ", ".join(map(str, ranks))


def _at(words: list[dict[str, Any]]) -> str:
    return next((str(word["at"]) for word in reversed(words) if "at" in word), "starting")


def _said(file: Path) -> list[dict[str, Any]]:
    """Whole lines only: it may be at its next one."""
    with contextlib.suppress(FileNotFoundError):
        return [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return []


def _ended(running: dict[int, int]) -> dict[int, int]:
    """Rank to status of those that are gone; a rank never goes by itself."""
    found = {}
    for process, rank in list(running.items()):
        gone, status = os.waitpid(process, os.WNOHANG)
        if gone:
            found[rank] = os.waitstatus_to_exitcode(status)
            del running[process]
    return found


def _end(running: dict[int, int]) -> None:
    """One that waits inside a driver may outlast it; who watches this check names what is left."""
    for process in running:
        os.kill(process, signal.SIGKILL)
    until = time.monotonic() + 5.0
    while running and time.monotonic() < until:
        _ended(running)
        time.sleep(0.02)
