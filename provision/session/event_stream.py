"""The lines of --events: every event, and a last line that tells how the run ended."""

from __future__ import annotations

import msgspec

from provision.display import terminal
from provision.display.json_lines import JsonLines
from provision.errors import DONE
from provision.report._model import Report
from provision.results import CheckResult


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """The last line of every run; it has a report if anything was executed or checked."""

    exit_code: int
    report: Report | None
    problem: str
    hint: str


class Stream(JsonLines):
    """The event lines of one run."""

    def __init__(self) -> None:
        super().__init__()
        self.report: Report | None = None
        self.problem = self.hint = ""

    def ended(self, exit_code: int, message: str) -> int:
        """Write the last line and return the exit code; `message` is the one on stderr.

        A run that was done but could not write its events returns the exit code of that failure.
        """
        problem, _, hint = message.removeprefix("error: ").partition("\n hint: ")
        if self.report and exit_code != DONE and not problem:
            problem, hint = _of_checks(self.report.checks)
        self(
            Ended(
                exit_code=exit_code,
                report=self.report,
                problem=problem or self.problem,
                hint=hint or self.hint,
            ),
            last=True,
        )
        if self.failure and exit_code == DONE:
            terminal.note(str(self.failure))
            return self.failure.exit_code
        return exit_code


def _of_checks(checks: tuple[CheckResult, ...]) -> tuple[str, str]:
    """Return problem and hint of the failed checks, else of those that could not decide."""
    for outcomes in (("fail",), ("error", "skip")):
        if against := [check for check in checks if check.outcome in outcomes]:
            texts = (f"{check.name}: {check.outcome}: {check.summary}" for check in against)
            return "; ".join(texts), next((check.hint for check in against if check.hint), "")
    return "", ""
