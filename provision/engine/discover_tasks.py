"""Discover the tasks of the steps and the user's own by listing folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from provision import tasks
from provision.doors import files
from provision.engine import discover_steps, launch_checks
from provision.engine.launch_checks import CheckDescription
from provision.errors import UnreadableInput
from provision.tasks import Task

OURS: Final = Path(__file__).parents[2] / "tasks"


def discover(folder: Path | None = None, shown: str = "tasks") -> tuple[Task, ...]:
    """Return the tasks of the steps and of a folder, in their order of work.

    `shown` is the folder's name in messages.
    """
    folders = {OURS.resolve(): OURS.name, **({folder.resolve(): shown} if folder else {})}
    texts: dict[str, str] = {}
    for place, name in folders.items():
        for path in _files(place):
            if path.is_fifo():  # reading it would wait for a writer, for ever
                raise UnreadableInput(
                    "is a pipe",
                    where=f"{name}/{path.name}",
                    hint="replace it by a file, or delete it",
                )
            texts[f"{name}/{path.name}"] = files.read_text(path)
    known = discover_steps.discover()
    steps = {step.number: step.name for step in known}
    parts = {number: name for step in known for number, name in step.parts.items()}
    return tasks.read(
        texts, steps, (path.stem for path in launch_checks.CHECKS.glob("[!_]*.py")), parts
    )


def checks_that_prove(task: Task, checks: Iterable[CheckDescription]) -> tuple[str, ...]:
    # A user's task names its checks; a check of ours names its step.
    return (
        tuple(check.name for check in checks if check.step == task.number)
        if task.is_step
        else task.checks
    )


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in (".yaml", ".yml") and path.name[0] != "."
        )
    except OSError as error:
        raise UnreadableInput(
            f"cannot be read: {error.strerror}", where=str(folder), hint="see --set tasks=DIR"
        ) from error
