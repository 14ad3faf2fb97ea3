"""Write a run's output files. A failure to write one never blocks the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from provision.display import terminal
from provision.doors import files
from provision.engine import discover_tasks, launch_checks, verified
from provision.errors import NotWritable, UnreadableInput
from provision.report import as_text, read, task_pages
from provision.report._model import Report
from provision.session import formats, inputs, runs
from provision.session._model import Session
from provision.tasks import Task

Output = tuple[Path, Callable[[], "bytes | str"]]


def everywhere(report: Report, session: Session) -> None:
    """Write the files of the run's folder, the newest verdict, and a page for every task."""
    _write(report, session, _in_its_folder, _as_newest, _as_pages)
    _tidy(session)


def in_logs(report: Report, session: Session) -> None:
    """Write the run's folder only: the report is no news of one of our environments as a whole."""
    _write(report, session, _in_its_folder)
    _tidy(session)


def _tidy(session: Session) -> None:
    from provision.session import retention  # only a run that has written something needs it

    retention.prune(session)


def document(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def verified_with(generation: Path) -> Report | None:
    """Return the report with which this host verified an environment, if it did."""
    return read.report_or_none(verified.read_report(generation))


def _write(
    report: Report,
    session: Session,
    *groups: Callable[[Report, Session], Iterator[Output]],
) -> None:
    """Write groups of files, and note what could not be written: the run's result stands."""
    refused: list[NotWritable] = []
    for group in groups:
        try:
            for path, content in group(report, session):
                _write_file(path, content, refused)
        except Exception as error:  # noqa: BLE001 - a report that fails must not fail the run
            _note_failure(error)
    if refused:
        more = f" (and {len(refused) - 1} more files)" if refused[1:] else ""
        terminal.note(f"this run's report is incomplete{more}: {refused[0].text}")


def _write_file(path: Path, content: Callable[[], bytes | str], refused: list[NotWritable]) -> None:
    try:
        files.write(path, content())
    except NotWritable as failure:
        refused.append(failure)
    except Exception as error:  # noqa: BLE001 - as above
        _note_failure(error)


def _note_failure(error: Exception) -> None:
    terminal.note(f"this run's report cannot be written in every format: {error!r}")


def _in_its_folder(report: Report, session: Session) -> Iterator[Output]:
    """Yield report.json first: all other formats can be made from it again."""
    folder = Path(session.logs)
    yield folder / runs.REPORT, lambda: document(report)
    for name, format_ in formats.BESIDE.items():
        yield folder / name, partial(formats.render, report, format_)


def _as_newest(report: Report, session: Session) -> Iterator[Output]:
    logs = Path(session.logs).parent
    yield logs / "summary.txt", lambda: as_text.text(report, session.prefix)
    yield logs / formats.METRICS, lambda: formats.render(report, "prometheus")


def _as_pages(report: Report, session: Session) -> Iterator[Output]:
    folder = Path(inputs.checkout()) / session.settings.tasks / "task-results"
    tasks, known = _tasks(session), launch_checks.discover()
    proving = {task.label: discover_tasks.checks_that_prove(task, known) for task in tasks}
    # Pages of tasks also show what an earlier run proved.
    before = verified_with(Path(session.prefix) / report.generation) if report.generation else None
    for name, page in task_pages.pages(report, tasks, before, proving).items():
        yield folder / name, partial(str, page)


def _tasks(session: Session) -> tuple[Task, ...]:
    """Return every task. One that became unreadable during the run must not hide its result."""
    folder = session.settings.tasks
    try:
        return discover_tasks.discover(Path(inputs.checkout()) / folder, folder)
    except UnreadableInput as failure:
        terminal.note(f"your tasks are not in its pages: {failure.text}")
        return discover_tasks.discover()
