"""Runs below the logs: their ids, newest first, and the report of one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from provision.doors import files
from provision.errors import UnreadableInput, WrongUsage
from provision.report import read as reader
from provision.report._model import Report

REPORT: Final = "report.json"
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
_MOST = 64 * 1024 * 1024


def ids(logs: Path) -> list[str]:
    """The ids of all runs, newest first; a run that was killed, or is at work, has one too, and no report."""
    try:
        return sorted((path.name for path in logs.iterdir() if _ID.fullmatch(path.name)), reverse=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnreadableInput(f"cannot be read: {error.strerror}", where=str(logs), hint="--set logs=DIR") from error


def read(logs: Path, wanted: str | None) -> Report:
    """A report: by a run's id or a unique beginning of one, by a folder or a file; without either the newest run's."""
    known = ids(logs)
    if wanted is None:
        if not known:
            raise WrongUsage("there is no run yet", where=str(logs), hint="./setup.sh makes one")
        return _of_run(logs, known[0], known)
    meant = [id_ for id_ in known if wanted and id_.startswith(wanted)]
    if len(meant) == 1:
        return _of_run(logs, meant[0], known)
    path = Path(wanted)
    if wanted and path.exists():
        return _in_file(path / REPORT if path.is_dir() else path)
    if meant:
        raise WrongUsage(f"`{wanted}` begins {len(meant)} runs", hint=f"say more of one: {', '.join(meant[:4])}")
    hint = f"the newest is {known[0]}" if known else "./setup.sh makes one"
    raise WrongUsage(f"there is no run and no file `{wanted}`", where=str(logs), hint=hint)


def _of_run(logs: Path, id_: str, known: list[str]) -> Report:
    path = logs / id_ / REPORT
    if path.parent.is_dir() and _is_absent(path):
        whole = next((one for one in known if not _is_absent(logs / one / REPORT)), "")
        hint = f"the newest run that has one: {whole}" if whole else "no run here has one"
        raise UnreadableInput(f"run {id_} has no report: it was killed, or is at work", where=str(path), hint=hint)
    return _in_file(path)


def _is_absent(path: Path) -> bool:
    """Not there; what only cannot be looked at is told of when it is opened."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _in_file(path: Path) -> Report:
    return reader.report(files.read_text(path, _MOST).encode(), str(path))
