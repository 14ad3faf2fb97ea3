"""Carry out one action: fetch files, run a command with its log, write a file, or check a need."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from provision.doors import files, process
from provision.engine import fetch, needs
from provision.engine.logs import StepLog
from provision.errors import NotWritable, SourceFailed, StepFailed
from provision.events import CommandStarted, Line, Note, Progress, Subscriber
from provision.host._scrub import hide_secrets
from provision.steps.model import Action, Fetch, Need, Run, Site, Step, Write

_PROGRESS = re.compile(r"\[(\d+)/(\d+)\] ")  # the format of ninja
_PYTHON_OPTION, _ASK_PREFIX = "--python", "import sys; print(sys.prefix)"
_RESUME = "the same command resumes"
# These would reach into a command from outside and change its behaviour.
_FOREIGN = ("LD_", "PYTHON", "PIP_", "VIRTUAL_ENV", "CONDA_", "BASH_ENV")


class Carrier(msgspec.Struct, frozen=True, kw_only=True):
    """The executor of actions, with all that the actions of one build share."""

    site: Site
    folder: Path
    events: Subscriber
    environment: Mapping[str, str]
    fetching: fetch.Fetching
    keep_open: tuple[int, ...]
    at: Path | None = None  # the working directory of commands; None: our own

    def carry_out(
        self, step: Step, actions: Iterable[Action], ahead: Fetch | None = None
    ) -> tuple[str, ...]:
        """Carry out the actions of a step in order and return the commands that ran.

        Raise StepFailed if an action does not end well. `ahead` are files of a later step.
        """
        commands: list[str] = []
        with contextlib.closing(StepLog(self.folder / f"{step.label}.log")) as log:
            for action in actions:
                if isinstance(action, Run):
                    # Begun here and not before: earlier it would compete with this step's files.
                    if ahead:
                        self.fetching.begin(ahead)
                    commands.append(self._run(step, action, log))
                elif isinstance(action, Fetch):
                    self._fetch(step, action, log)
                elif isinstance(action, Write):
                    files.write_own(Path(action.path), action.text, action.mode)
                else:
                    self._check(step, action, log)
            if log.full:
                self.events(Note(text=f"{log.path} is incomplete: no space was left"))
        return tuple(commands)

    def _fetch(self, step: Step, action: Fetch, log: StepLog) -> None:
        log.line(f"# {action.title}")
        try:
            for line in self.fetching.finish(action):
                log.line(line)
        except (SourceFailed, NotWritable) as failure:
            raise StepFailed(
                log.line(f"{action.title}: {failure.what}: {failure.where}"),
                where=f"step {step.label}",
                hint=failure.hint,
            ) from None

    def _check(self, step: Step, need: Need, log: StepLog) -> None:
        measured = needs.measure(need)
        line = log.line(f"{need.title}: {measured.text}")
        if not measured.met:
            raise StepFailed(
                line,
                where=f"step {step.label}",
                hint=needs.hint_for(need, Path(self.site.generation)) or _RESUME,
            )

    def _refuse_another_python(self, step: Step, action: Run) -> None:
        """Raise StepFailed if an installer would work outside of its environment.

        Without its pyvenv.cfg the link bin/python is the Python of the host.
        """
        if "install" not in action.argv or _PYTHON_OPTION not in action.argv:
            return
        python = Path(action.argv[action.argv.index(_PYTHON_OPTION) + 1])
        done = process.run(
            (str(python), "-I", "-c", _ASK_PREFIX), deadline_s=60, env=self.environment
        )
        own, prefix = os.path.realpath(python.parent.parent), done.stdout.strip()
        if done.ok and os.path.realpath(prefix) == own:
            return
        raise StepFailed(
            f"{action.title}: {python} is not the Python of this environment, but of "
            f"{prefix or done.problem()}",
            where=f"step {step.label}",
            hint=f"{_RESUME}: it makes the environment again",
        )

    def _run(self, step: Step, action: Run, log: StepLog) -> str:
        self._refuse_another_python(step, action)
        environment = {**self.environment, **action.env}
        command = hide_secrets(process.Finished(argv=action.argv).command)
        log.command(action.title, command, environment)
        self.events(CommandStarted(title=action.title, command=command, log=str(log.path)))
        finished = process.run(
            action.argv,
            deadline_s=action.deadline_s,
            env=environment,
            cwd=self.at,
            on_line=lambda text: self._hear(log.line(text), action.title),
            ends_with_us=True,
            keep_open=self.keep_open,
        )
        if not finished.ok:
            raise _command_failed(step, action, finished, command, log)
        return command

    def _hear(self, text: str, title: str) -> None:
        self.events(Line(text=text))
        if progress := _PROGRESS.match(text):
            done, total = int(progress[1]), int(progress[2])
            self.events(Progress(title=title, done=done, total=total, unit="files"))


def _command_failed(
    step: Step, action: Run, finished: process.Finished, command: str, log: StepLog
) -> StepFailed:
    headline = f"{action.title}: {finished.ending}"
    output = tuple(line.strip() for line in log.last if line.strip())
    last = "\n".join(f"    {line}" for line in log.last) or f"    {finished.stderr}".rstrip()
    # A command that ended by itself explains itself last; one that was killed explains nothing.
    explained = () if finished.signal or finished.timed_out or finished.status is None else output
    return StepFailed(
        f"{headline}\n  {command}\n{last}\n  log: {log.path}",
        where=f"step {step.label}",
        hint=f"free some space there; {_RESUME}" if "No space left" in last else _RESUME,
        reason=explained[-1] if explained else headline,
        output=output,
    )


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without variables that would change what commands do."""
    return {name: value for name, value in environment.items() if not name.startswith(_FOREIGN)}
