"""The user's tasks around a run: read before anything is changed, carried out when the environment is current."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from provision.display import progress
from provision.display.progress import Followed
from provision.engine import bring_up, discover_tasks, environments, user_tasks
from provision.engine.bring_up import BroughtUp
from provision.engine.conclude import conclude
from provision.engine.preview import Foreseen
from provision.engine.resolution_cache import Wanted
from provision.errors import Interrupted, StepFailed, WrongUsage
from provision.session import inputs, request
from provision.session.request import Wish
from provision.tasks import Task

_GOES_ON: Final = "the environment is current and verified; the same command goes on with your tasks"


def found(wish: Wish) -> tuple[Task, ...]:
    """Every task, ours and the user's; whatever is wrong with one is said here."""
    return discover_tasks.discover(Path(inputs.checkout()) / wish.settings.tasks, wish.settings.tasks)


def joined(wish: Wish) -> Wish:
    """With the tasks that are to be carried out, of which an environment for another host has none here."""
    own = tuple(task for task in found(wish) if not task.is_step)
    return msgspec.structs.replace(wish, tasks=() if wish.target else own)


def pending(wish: Wish, came: BroughtUp) -> bool:
    return bool(user_tasks.pending(Path(came.generation), wish.tasks))


def is_one(wish: Wish, number: int | None) -> bool:
    return number in {task.number for task in wish.tasks}


def alone(wish: Wish, resolved: Wanted) -> BroughtUp:
    """What `--only` and `--from` a task build on: the environment as it stands."""
    came = bring_up.glance(request.asked(wish, resolved))
    if came is None:
        raise WrongUsage("tasks need an environment that is current, whole and verified", hint="./setup.sh makes it so")
    return came


def foreseen(wish: Wish, generation: str, only: int | None = None, start: int | None = None) -> list[Foreseen]:
    """For a dry run: what would be run, and what is done."""
    left = {task.label for task in user_tasks.pending(Path(generation), wish.tasks)} | _again(wish, only, start)
    return [
        Foreseen(step=task.label, outcome="would run", actions=user_tasks.actions(task))
        if task.label in left
        else Foreseen(step=task.label, outcome="kept")
        for task in _asked(wish, only)
    ]


def carried_out(
    wish: Wish,
    resolved: Wanted,
    came: BroughtUp,
    options: argparse.Namespace,
    followed: Followed,
    only: int | None = None,
    start: int | None = None,
) -> tuple[BroughtUp, StepFailed | None]:
    """With what came of them; and what kept one from its end, which is to be said after the report."""
    asked = _asked(wish, only)
    if not asked or came.verdict != "verified" or not _is_current(came):
        return came, None
    with progress.followed(options) as heard:
        work = user_tasks.Tasks(
            request.asked(wish, resolved), Path(came.generation), Path(inputs.checkout()), heard, heard
        )
        try:
            ran = work.carry_out(asked, _again(wish, only, start))
        except KeyboardInterrupt:
            raise Interrupted("interrupted", hint=_GOES_ON) from None
        except StepFailed as failure:
            ran = user_tasks.Ran(failure=failure)
    followed.add(heard)
    return _with(came, resolved, ran), ran.failure


def _is_current(came: BroughtUp) -> bool:
    place = Path(came.generation)
    return environments.current(place.parent) == place.name


def _asked(wish: Wish, only: int | None) -> Sequence[Task]:
    if only is None:
        return wish.tasks
    (one,) = (task for task in wish.tasks if task.number == only)
    return [*(task for task in wish.tasks if task.label in _before(wish, one)), one]


def _before(wish: Wish, task: Task) -> set[str]:
    """All that it comes after, however far: what of that is not done is done first."""
    by_label = {one.label: one for one in wish.tasks}
    names = {name for name in task.after if name in by_label}
    return names.union(*(_before(wish, by_label[name]) for name in names))


def _again(wish: Wish, only: int | None, start: int | None) -> set[str]:
    """What was named is carried out also where it is done."""
    numbers = [task.number for task in wish.tasks]
    first = numbers.index(start) if start in numbers else len(numbers)
    return {task.label for task in wish.tasks if task.number == only} | {task.label for task in wish.tasks[first:]}


def _with(came: BroughtUp, resolved: Wanted, ran: user_tasks.Ran) -> BroughtUp:
    steps = (*came.steps, *ran.results)
    quiet = not ran.failure and all(one.outcome == "kept" for one in ran.results)
    came = msgspec.structs.replace(came, steps=steps, nothing_to_do=came.nothing_to_do and quiet)
    if ran.tried.checks:
        tried = user_tasks.joined(came.tried, ran.tried)
        names = dict.fromkeys((*came.promised, *(one.name for one in ran.tried.checks)))
        concluded = conclude(tried, names, resolved.plan.gpus.used)
        came = msgspec.structs.replace(
            came,
            tried=tried,
            promised=tuple(names),
            gpus=resolved.plan.gpus.used,
            verdict=concluded.verdict,
            exit_code=concluded.exit_code,
        )
    return msgspec.structs.replace(came, exit_code=ran.failure.exit_code) if ran.failure else came
