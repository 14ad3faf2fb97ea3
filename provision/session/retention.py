"""The folders of old runs: which are kept, and the removal of the others (`keep_logs`)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from provision.display import terminal
from provision.engine import environments, user_tasks
from provision.engine.journal import Journal
from provision.session import formats, runs
from provision.session._model import Session

# Its presence says that a run has announced the first removal.
_ANNOUNCED: Final = ".keep_logs"
_OURS: Final = re.compile(
    "|".join([re.escape(runs.REPORT), *map(re.escape, formats.BESIDE), r".+\.log"])
)
_RUN_ID: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")


def prune(session: Session) -> None:
    """Remove what runs beyond the newest `keep_logs` have written; the first time, announce it."""
    logs, keep = Path(session.logs).parent, session.settings.keep_logs
    old = [run for run in runs.ids(logs)[keep:] if run not in _in_use(session)] if keep else []
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


def _in_use(session: Session) -> set[str]:
    """Return the runs that a state file or an environment refers to."""
    logs, prefix = Path(session.logs).parent, Path(session.prefix)
    documents = [*logs.glob("baseline-*.json"), *logs.glob("watch-*.json")]
    documents += prefix.glob(f"*/{environments.STATE}/verified/*.json")
    named = {run for path in documents for run in _named_in(path)}
    unfinished = [item for item in environments.list_environments(prefix) if not item.complete]
    for environment in unfinished:
        place = Path(environment.path)
        journals = (Journal(place / environments.STATE), user_tasks.journal(place))
        named |= {entry.run for journal in journals for entry in journal.last_entries().values()}
    return named


def _named_in(path: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from _RUN_ID.findall(path.read_text(encoding="utf-8", errors="replace"))


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
