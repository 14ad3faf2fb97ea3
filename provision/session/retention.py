"""Remove the logs of old runs (`keep_logs`), except those that something still refers to."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from provision.display import terminal
from provision.doors import files
from provision.engine import environments, user_tasks
from provision.engine.journal import Journal
from provision.session import formats, runs
from provision.session._model import Session

# Its presence says that a run has announced the first removal.
_ANNOUNCED: Final = ".keep_logs"
# Logs of steps, tasks and checks, as the engine names them; any other file is the user's.
_LOGS: Final = (r"[0-9]{2}-[\w.-]+\.log", r"check-\w+\.log")
_OURS: Final = re.compile("|".join([*map(re.escape, (runs.REPORT, *formats.BESIDE)), *_LOGS]))
_RUN_ID: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")


def prune(session: Session) -> None:
    """Remove what runs beyond the newest `keep_logs` have written; the first time, announce it."""
    logs, keep = Path(session.logs).parent, session.settings.keep_logs
    old = runs.ids(logs)[keep:] if keep else []
    if old:
        in_use = _in_use(logs, {session.prefix, *_prefixes(logs, old)})
        old = [run for run in old if run not in in_use]
    if not old:
        return
    with contextlib.suppress(OSError):  # logs may be read-only, and then nothing is removed
        announced = logs / _ANNOUNCED
        if not announced.exists():
            announced.touch()
            count = f"{len(old)} run{'s' if len(old) > 1 else ''}"
            terminal.note(
                f"the next run removes the logs of {count} beyond the newest {keep} from {logs}"
                " (keep_logs: 0 keeps all)"
            )
            return
        for run in old:
            _remove(logs / run)


class _Ran(msgspec.Struct, frozen=True, kw_only=True):
    """A report, of which only the settings are read."""

    settings: dict[str, Any] = {}


def _prefixes(logs: Path, old: list[str]) -> Iterator[str]:
    """Yield the prefixes of old runs: several may share this folder."""
    for run in old:
        report = files.read_document(logs / run / runs.REPORT, _Ran)
        if report and isinstance(prefix := report.settings.get("prefix"), str):
            yield os.path.expanduser(prefix)  # reports write ~ for the home folder


def _in_use(logs: Path, prefixes: Iterable[str]) -> set[str]:
    """Return the runs that a state file or an environment refers to."""
    documents = [*logs.glob("baseline-*.json"), *logs.glob("watch-*.json")]
    in_use: set[str] = set()
    for prefix in map(Path, prefixes):
        documents += prefix.glob(f"*/{environments.STATE}/verified/*.json")
        for environment in environments.list_environments(prefix):
            if not environment.complete:
                in_use |= _runs_of(Path(environment.path))
    return in_use.union(*map(_named_in, documents))


def _runs_of(unfinished: Path) -> set[str]:
    """Return the runs that have worked on an unfinished environment."""
    journals = (Journal(unfinished / environments.STATE), user_tasks.journal(unfinished))
    return {entry.run for journal in journals for entry in journal.last_entries().values()}


def _named_in(path: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from _RUN_ID.findall(files.read_own(path).decode("utf-8", "replace"))


def _remove(folder: Path) -> None:
    """Remove our files. A file of the user stays, and so does the folder that it lies in."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is inside a folder comes first
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):  # it is not empty
                path.rmdir()
        elif _OURS.fullmatch(path.name):
            path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
