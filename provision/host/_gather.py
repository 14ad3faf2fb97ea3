"""Read every declared source of a host once, all at the same time."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from provision.doors import at_once, process
from provision.doors.reading import Reading
from provision.host import _programs
from provision.host._filesystem import LOOKS
from provision.host._model import Command, File, Files, Probe, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Job = Callable[[], dict[str, Reading]]

FILES_S = 5.0  # one child reads all files and folders
PROBE_S = 12.0
SOURCES_S = 4.0
_LEFT_BEHIND_S = 2.0  # for a process to end after it was told to

_CHECKOUT = str(Path(__file__).parents[2])
_READER = (
    f"import sys; sys.path.append({_CHECKOUT!r}); from provision.host._reader import main; main()"
)
_REFUSED = re.compile(r"permission denied|not permitted|must be root|only root", re.IGNORECASE)


def gather(
    wanted: Iterable[Source],
    *,
    network: bool,
    paths: Mapping[str, Path],
    addresses: Mapping[str, str],
) -> dict[str, Reading]:
    """Return the readings by source. Skip probes of the network unless `network` is set."""
    sources = {s.key: s for s in wanted if network or not (isinstance(s, Probe) and s.network)}
    in_child = {key: order for key, s in sources.items() if (order := _order(s, paths)) is not None}
    jobs: list[Job] = [partial(read_in_child, in_child, FILES_S)] if in_child else []
    for key, source in sources.items():
        if isinstance(source, Command):
            jobs.append(partial(_read, key, partial(_command, source)))
        elif isinstance(source, Probe) and key not in in_child:
            jobs.append(partial(_read, key, _probes(paths, addresses)[source.name]))
    deadlines = [source.deadline_s for source in sources.values() if isinstance(source, Command)]
    answers = at_once.run_all(dict(enumerate(jobs)), max([PROBE_S, *deadlines]) + _LEFT_BEHIND_S)
    readings = {key: reading for answer in answers.values() for key, reading in answer.items()}
    late = Reading(outcome="timed out", detail="no answer within the deadline")
    return dict.fromkeys(sources, late) | readings


def _order(source: Source, paths: Mapping[str, Path]) -> dict[str, object] | None:
    if isinstance(source, File):
        return {"file": source.path, "words": source.words}
    if isinstance(source, Files):
        return {"files": source.patterns}
    if isinstance(source, Probe) and source.name in LOOKS:
        return {
            source.name: {role: str(path) for role, path in paths.items()}
            if source.name == "disks"
            else None
        }
    return None


def _probes(
    paths: Mapping[str, Path], addresses: Mapping[str, str]
) -> dict[str, Callable[[], Reading]]:
    return {
        "compilers": lambda: _ok(_programs.compilers()),
        "cuda_toolkits": lambda: _ok(_programs.cuda_toolkits()),
        "kernel_log": lambda: _ok(_programs.kernel_log()),
        "nvml": _nvml,
        "pythons": lambda: _ok(_programs.pythons(str(paths.get("prefix", "")))),
        "sources": lambda: _sources(addresses),
    }


def _nvml() -> Reading:
    from provision.doors import (
        nvml,
    )  # only a recording asks NVML; plans for described hosts skip the import

    return nvml.read(PROBE_S - _LEFT_BEHIND_S)


def _sources(addresses: Mapping[str, str]) -> Reading:
    from provision.doors import network  # importing requests takes longer than all other readings

    return _ok(network.probe(addresses, SOURCES_S))


def _ok(value: object) -> Reading:
    return Reading(outcome="ok", text=json.dumps(value))


def _command(command: Command) -> Reading:
    """Run a command and keep its output even on failure: some programs answer and fail."""
    finished = process.run(
        command.argv, deadline_s=command.deadline_s, env={**os.environ, "LC_ALL": "C"}
    )
    if finished.ok:
        return Reading(outcome="ok", text=finished.stdout)
    if finished.missing:
        return Reading(outcome="absent", detail=finished.problem())
    if finished.timed_out:
        return Reading(outcome="timed out", detail=f"no answer within {command.deadline_s:g} s")
    refused = _REFUSED.search(finished.stderr) is not None
    return Reading(
        outcome="refused" if refused else "failed",
        text=(finished.stdout + finished.stderr)[:4000],
        detail=finished.problem(),
    )


def read_in_child(
    orders: Mapping[str, Mapping[str, object]], deadline_s: float
) -> dict[str, Reading]:
    """Read files in a child process: a file system that hangs does not hold us up."""
    finished = process.run(
        [sys.executable, "-I", "-S", "-c", _READER],
        deadline_s=deadline_s + _LEFT_BEHIND_S,
        input=json.dumps({"jobs": orders, "deadline_s": deadline_s}),
    )
    readings: dict[str, Reading] = {}
    for line in finished.stdout.splitlines():
        with contextlib.suppress(
            ValueError, msgspec.MsgspecError
        ):  # a child that was killed may leave half a line
            key, answer = msgspec.json.decode(line)
            readings[key] = msgspec.convert(answer, Reading)
    unanswered = Reading(outcome="timed out", detail=f"no answer within {deadline_s:g} s")
    if not finished.ok and not finished.timed_out:
        last = finished.stderr.strip().rpartition("\n")[2]
        unanswered = Reading(
            outcome="failed", detail=f"the child that reads files failed: {last}"[:300]
        )
    return {key: readings.get(key, unanswered) for key in orders}


def _read(key: str, read: Callable[[], Reading]) -> dict[str, Reading]:
    try:
        return {key: read()}
    except PermissionError as error:
        return {key: Reading(outcome="refused", detail=str(error))}
    except Exception as error:  # noqa: BLE001 - a broken probe must not lose the others
        return {key: Reading(outcome="failed", detail=f"{type(error).__name__}: {error}")}
