"""Reads every declared source of a host once, all at the same time; what hangs costs only its deadline."""

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

FILES_S = 5.0  # for all files and folders together: one child reads them
PROBE_S = 12.0
SOURCES_S = 4.0
_LEFT_BEHIND_S = 2.0  # what a process that was told to end may still take

_CHECKOUT = str(Path(__file__).parents[2])
_READER = f"import sys; sys.path.append({_CHECKOUT!r}); from provision.host._reader import main; main()"
_REFUSED = re.compile(r"permission denied|not permitted|must be root|only root", re.IGNORECASE)


def gather(
    wanted: Iterable[Source], *, network: bool, paths: Mapping[str, Path], addresses: Mapping[str, str]
) -> dict[str, Reading]:
    """The readings by source; a probe of the network is left out where nobody asked for it."""
    sources = {s.key: s for s in wanted if network or not (isinstance(s, Probe) and s.network)}
    in_child = {key: order for key, s in sources.items() if (order := _order(s, paths)) is not None}
    jobs: list[Job] = [partial(read_in_child, in_child, FILES_S)] if in_child else []
    for key, source in sources.items():
        if isinstance(source, Command):
            jobs.append(partial(_one, key, partial(_command, source)))
        elif isinstance(source, Probe) and key not in in_child:
            jobs.append(partial(_one, key, _asks(paths, addresses)[source.name]))
    deadlines = [source.deadline_s for source in sources.values() if isinstance(source, Command)]
    deadline_s = max([PROBE_S, *deadlines]) + _LEFT_BEHIND_S
    answers = at_once.run_all(dict(enumerate(jobs)), deadline_s).values()
    readings = {key: reading for answer in answers for key, reading in answer.items()}
    late = Reading(outcome="timed out", detail="no answer within the deadline")
    return {key: readings.get(key, late) for key in sources}


def _order(source: Source, paths: Mapping[str, Path]) -> dict[str, object] | None:
    """What the reading child is told, for a source that is its business."""
    if isinstance(source, File):
        return {"file": source.path, "words": source.words}
    if isinstance(source, Files):
        return {"files": source.patterns}
    if isinstance(source, Probe) and source.name in LOOKS:
        return {source.name: {role: str(path) for role, path in paths.items()} if source.name == "disks" else None}
    return None


def _asks(paths: Mapping[str, Path], addresses: Mapping[str, str]) -> dict[str, Callable[[], Reading]]:
    """The probes that run programs or talk to somebody."""
    return {
        "compilers": lambda: _found(_programs.compilers()),
        "cuda_toolkits": lambda: _found(_programs.cuda_toolkits()),
        "kernel_log": lambda: _found(_programs.kernel_log()),
        "nvml": _nvml,
        "pythons": lambda: _found(_programs.pythons(str(paths.get("prefix", "")))),
        "sources": lambda: _sources(addresses),
    }


def _nvml() -> Reading:
    from provision.doors import nvml  # only a recording asks NVML

    return nvml.read(PROBE_S - _LEFT_BEHIND_S)


def _sources(addresses: Mapping[str, str]) -> Reading:
    from provision.doors import network  # loading it costs more than all else together

    return _found(network.probe(addresses, SOURCES_S))


def _found(value: object) -> Reading:
    return Reading(outcome="ok", text=json.dumps(value))


def _command(command: Command) -> Reading:
    """What a command says; one that fails keeps its words, because some answer on stderr and fail."""
    ended = process.run(command.argv, deadline_s=command.deadline_s, env={**os.environ, "LC_ALL": "C"})
    if ended.ok:
        return Reading(outcome="ok", text=ended.stdout)
    if ended.missing:
        return Reading(outcome="absent", detail=ended.problem())
    if ended.timed_out:
        return Reading(outcome="timed out", detail=f"no answer within {command.deadline_s:g} s")
    refused = _REFUSED.search(ended.stderr) is not None
    words = (ended.stdout + ended.stderr)[:4000]
    return Reading(outcome="refused" if refused else "failed", text=words, detail=ended.problem())


def read_in_child(orders: Mapping[str, Mapping[str, object]], deadline_s: float) -> dict[str, Reading]:
    """Everything that lies in a file system, read in a child that may hang without holding us."""
    request = json.dumps({"jobs": orders, "deadline_s": deadline_s})
    argv = [sys.executable, "-I", "-S", "-c", _READER]
    ended = process.run(argv, deadline_s=deadline_s + _LEFT_BEHIND_S, input=request)
    readings: dict[str, Reading] = {}
    for line in ended.stdout.splitlines():
        with contextlib.suppress(ValueError, msgspec.MsgspecError):  # the last line of a child that was ended
            key, answer = msgspec.json.decode(line)
            readings[key] = msgspec.convert(answer, Reading)
    rest = Reading(outcome="timed out", detail=f"no answer within {deadline_s:g} s")
    if not ended.ok and not ended.timed_out:
        last = ended.stderr.strip().rpartition("\n")[2]
        rest = Reading(outcome="failed", detail=f"the child that reads files failed: {last}"[:300])
    return {key: readings.get(key, rest) for key in orders}


def _one(key: str, read: Callable[[], Reading]) -> dict[str, Reading]:
    try:
        return {key: read()}
    except PermissionError as error:
        return {key: Reading(outcome="refused", detail=str(error))}
    except Exception as error:  # noqa: BLE001 - one probe that breaks must not lose the others
        return {key: Reading(outcome="failed", detail=f"{type(error).__name__}: {error}")}
