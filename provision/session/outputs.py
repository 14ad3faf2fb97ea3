"""All that is written of a run, each by itself: what cannot be made or written keeps nothing else from being there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from provision.display import terminal
from provision.doors import files
from provision.engine import discover_tasks, launch_checks, verified
from provision.errors import NotWritable, UnreadableInput
from provision.report import as_task_result, as_text, read
from provision.report._model import Report
from provision.session import formats, inputs, run_tasks, runs
from provision.session.request import Wish
from provision.tasks import Task

Output = tuple[Path, Callable[[], "bytes | str"]]


def everywhere(told: Report, wish: Wish) -> None:
    """In the run's folder, as the newest verdict, and a page for every task."""
    _write(told, wish, _in_its_folder, _as_newest, _as_pages)


def in_logs(told: Report, wish: Wish) -> None:
    """The report of a look at what is not ours, or at a part of what is: no news of any environment of ours."""
    _write(told, wish, _in_its_folder)


def document(told: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n"


def verified_with(generation: Path) -> Report | None:
    """The report with which this host verified an environment, where it has."""
    return read.where_readable(verified.report(generation))


def _write(told: Report, wish: Wish, *ways: Callable[[Report, Wish], Iterator[Output]]) -> None:
    """Where there is no room for one, or it cannot be made, the run is what it was, and its end is told."""
    refused: list[NotWritable] = []
    for way in ways:
        try:
            for path, made in way(told, wish):
                _one(path, made, refused)
        except Exception as error:  # noqa: BLE001 - how a run is told must not be what it fails by
            _unmade(error)
    if refused:
        more = f" (and {len(refused) - 1} more files)" if refused[1:] else ""
        terminal.note(f"this run's report is not whole{more}: {refused[0].said}")


def _one(path: Path, made: Callable[[], bytes | str], refused: list[NotWritable]) -> None:
    try:
        files.write(path, made())
    except NotWritable as failure:
        refused.append(failure)
    except Exception as error:  # noqa: BLE001 - as above
        _unmade(error)


def _unmade(error: Exception) -> None:
    terminal.note(f"this run's report could not be told in every format: {error!r}")


def _in_its_folder(told: Report, wish: Wish) -> Iterator[Output]:
    """report.json first: all others can be made of it again."""
    folder = Path(wish.logs)
    yield folder / runs.REPORT, lambda: document(told)
    for name, format_ in formats.BESIDE.items():
        yield folder / name, partial(formats.said, told, format_)


def _as_newest(told: Report, wish: Wish) -> Iterator[Output]:
    logs = Path(wish.logs).parent
    yield logs / "summary.txt", lambda: as_text.text(told, wish.prefix)
    yield logs / formats.METRICS, lambda: formats.said(told, "prometheus")


def _as_pages(told: Report, wish: Wish) -> Iterator[Output]:
    pages = Path(inputs.checkout()) / wish.settings.tasks / "task-results"
    tasks, known = _tasks(wish), launch_checks.discover()
    proving = {task.label: discover_tasks.proving(task, known) for task in tasks}
    before = verified_with(Path(wish.prefix) / told.generation) if told.generation else None
    for name, page in as_task_result.pages(told, tasks, before, proving).items():
        yield pages / name, partial(str, page)


def _tasks(wish: Wish) -> tuple[Task, ...]:
    """A run that has begun is told, whatever somebody has done to a task of theirs meanwhile."""
    try:
        return run_tasks.found(wish)
    except UnreadableInput as failure:
        terminal.note(f"your tasks are not in its pages: {failure.said}")
        return discover_tasks.discover()
