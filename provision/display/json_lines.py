"""What the engine says, for a program: JSON lines on stdout, of which the last one says how it ended."""

from __future__ import annotations

import threading
from datetime import datetime, timezone

import msgspec

from provision.display import terminal
from provision.display.lines import Heard
from provision.engine.check_results import CheckResult
from provision.errors import DONE, NotWritable
from provision.report._model import Report


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """The last line, however a run ended; the report where anything was carried out or checked."""

    exit_code: int
    report: Report | None
    problem: str
    hint: str


class Stream:
    """One object a line, whole, from whatever thread it comes; what comes after the end is not told."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._failure: NotWritable | None = None
        self._over = False
        self.report: Report | None = None
        self.problem = self.hint = ""

    def __call__(self, event: Heard) -> None:
        self._tell(event)

    def ended(self, exit_code: int, said: str) -> int:
        """Tell the end; `said` is what a person was told of it. Another exit code where nothing more can be written."""
        problem, _, hint = said.removeprefix("error: ").partition("\n hint: ")
        if self.report and exit_code != DONE and not problem:
            problem, hint = _of_checks(self.report.checks)
        self._tell(
            Ended(exit_code=exit_code, report=self.report, problem=problem or self.problem, hint=hint or self.hint),
            last=True,
        )
        if self._failure and exit_code == DONE:
            terminal.note(str(self._failure))
            return self._failure.exit_code
        return exit_code

    def _tell(self, event: Heard | Ended, *, last: bool = False) -> None:
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = msgspec.to_builtins(event)
        line = msgspec.json.encode({"type": said.pop("type"), "at": at, **said}) + b"\n"
        with self._turn:
            if self._over or self._failure:
                return
            self._over = last
            try:
                terminal.out(line)
            except NotWritable as failure:  # threads come here too; what is being built is built all the same
                self._failure = failure


def _of_checks(checks: tuple[CheckResult, ...]) -> tuple[str, str]:
    """What stands against a verdict: the checks that failed, else those that could not decide."""
    for outcomes in (("fail",), ("error", "skip")):
        if found := [check for check in checks if check.outcome in outcomes]:
            problem = "; ".join(f"{check.name}: {check.outcome}: {check.summary}" for check in found)
            return problem, next((check.hint for check in found if check.hint), "")
    return "", ""
