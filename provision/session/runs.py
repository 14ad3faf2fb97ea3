"""The runs below the logs folder: their ids and their reports."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from typing import Final

from provision.doors import files
from provision.errors import UnreadableInput, WrongUsage
from provision.report import read as reader
from provision.report._model import Report

REPORT: Final = "report.json"
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
_LIMIT = 64 * 1024 * 1024  # far above the largest report


def ids(logs: Path) -> list[str]:
    """Return the ids of all runs, newest first, also of killed runs without a report."""
    try:
        return sorted(
            (path.name for path in logs.iterdir() if _ID.fullmatch(path.name)), reverse=True
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnreadableInput(
            f"cannot be read: {error.strerror}",
            where=str(logs),
            hint="name another folder: --set logs=DIR",
        ) from error


def read(logs: Path, name: str | None) -> Report:
    """Return a report by the id of its run, a unique beginning of it, a folder or a file.

    Without a name, return the report of the newest run of an environment as a whole.
    """
    known = ids(logs)
    if name is None:
        return newest(logs)
    # An id wins over a file of the same name.
    matches = [id_ for id_ in known if name and id_.startswith(name)]
    if len(matches) == 1:
        return _of_run(logs, matches[0], known)
    path = Path(name)
    if name and path.exists():
        return _in_file(path / REPORT if path.is_dir() else path)
    if matches:
        raise WrongUsage(
            f"`{name}` is the beginning of {len(matches)} runs",
            hint=f"write more of the id: {', '.join(matches[:4])}",
        )
    raise WrongUsage(
        f"there is no run and no file `{name}`",
        where=str(logs),
        hint=f"the newest is {known[0]}" if known else "./setup.sh starts one",
    )


def newest(logs: Path) -> Report:
    """Return the newest report of an environment as a whole; the newest of all if there is none."""
    reports = (_in_file(logs / run / REPORT) for run in ids(logs) if has_report(logs, run))
    first = next(reports, None)
    if first is None:
        what = "no run here has a report" if ids(logs) else "there is no run yet"
        raise WrongUsage(what, where=str(logs), hint="./setup.sh starts one")
    return next((report for report in chain((first,), reports) if report.is_whole), first)


def has_report(logs: Path, run: str) -> bool:
    """Return False for a run that was killed or is still at work."""
    return not _is_absent(logs / run / REPORT)


def _of_run(logs: Path, id_: str, known: list[str]) -> Report:
    path = logs / id_ / REPORT
    # A killed run leaves its folder without a report: the next older one is the useful answer.
    if path.parent.is_dir() and not has_report(logs, id_):
        complete = next((run for run in known if has_report(logs, run)), "")
        raise UnreadableInput(
            f"run {id_} has no report: it was killed or is still running",
            where=str(path),
            hint=f"the newest run with one: {complete}" if complete else "no run here has one",
        )
    return _in_file(path)


def _is_absent(path: Path) -> bool:
    """Return whether a file is missing; other errors are reported when it is opened."""
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, (FileNotFoundError, NotADirectoryError))
    return False


def _in_file(path: Path) -> Report:
    return reader.report(files.read_text(path, _LIMIT).encode(), str(path))
