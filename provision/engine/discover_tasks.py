"""The tasks: ours, that come with the steps, and the user's, found by listing the folders in which they lie."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from provision import tasks
from provision.doors import files
from provision.engine import discover_steps, launch_checks
from provision.engine.launch_checks import Description
from provision.errors import UnreadableInput
from provision.tasks import Task

OURS: Final = Path(__file__).parents[2] / "tasks"


def discover(folder: Path | None = None, shown: str = "tasks") -> tuple[Task, ...]:
    """Ours and those of a folder, in order of work; `shown` is what messages call the folder."""
    texts: dict[str, str] = {}
    for place, called in {OURS.resolve(): OURS.name, **({folder.resolve(): shown} if folder else {})}.items():
        for path in _files(place):
            if path.is_fifo():  # whoever reads it waits for a writer
                raise UnreadableInput("is a pipe", where=f"{called}/{path.name}", hint="make it a file, or delete it")
            texts[f"{called}/{path.name}"] = files.read_text(path)
    known = discover_steps.discover()
    steps = {step.number: step.name for step in known}
    parts = {number: name for step in known for number, name in step.parts.items()}
    checks = (path.stem for path in launch_checks.CHECKS.glob("[!_]*.py"))
    return tasks.read(texts, steps, checks, parts)


def proving(task: Task, known: Iterable[Description]) -> tuple[str, ...]:
    """The names of the checks that are about it: the user's name theirs, and of ours the checks name the step."""
    return tuple(one.name for one in known if one.step == task.number) if task.is_step else task.checks


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    try:
        return sorted(
            path for path in folder.iterdir() if path.suffix.lower() in (".yaml", ".yml") and path.name[0] != "."
        )
    except OSError as error:
        raise UnreadableInput(
            f"cannot be read: {error.strerror}", where=str(folder), hint="see --set tasks=DIR"
        ) from error
