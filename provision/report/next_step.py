"""Choose the next step of a report's reader: serve a model, or repair the first problem."""

from __future__ import annotations

import msgspec

from provision.plan import serve
from provision.report import short
from provision.report._model import Report
from provision.results import CheckResult

_AGAIN = "./setup.sh"


class NextStep(msgspec.Struct, frozen=True, kw_only=True):
    """A title, a sentence and a hint, lines of a log with its path, and the commands to copy."""

    title: str
    text: str = ""
    hint: str = ""
    lines: tuple[str, ...] = ()
    log: str = ""
    commands: tuple[str, ...] = ()


def next_step(report: Report) -> NextStep:
    failed = next((task.name for task in report.tasks if task.outcome == "failed"), "")
    if failed:
        log = f"logs/{report.run}/{failed}.log"
        text = f"Repair what task {failed} needs; the same command goes on with it."
        return NextStep(title="Next", text=text, log=log, commands=(_AGAIN,))
    if report.regressions:
        text = "The environment in use stays, since the new one does worse."
        return NextStep(title="Next", text=text, commands=("./setup.sh diff",))
    if report.verdict == "verified" and not report.doubt and not report.part:
        return _serve(report)
    checks = sorted(report.checks, key=lambda check: short.OUTCOMES.index(check.outcome))
    if checks and checks[0].outcome in ("fail", "error"):
        return _of_check(checks[0])
    problem = next(iter(report.problems), "")
    return NextStep(title="Next", text=short.first_line(problem), commands=(_AGAIN,))


def _serve(report: Report) -> NextStep:
    if report.plan is None:
        return NextStep(title="Next", text="Nothing: every check passed.")
    prefix = str(report.settings.get("prefix", "envs"))
    return NextStep(
        title="Serve a model", text=report.untried, commands=(serve.command(report.plan, prefix),)
    )


def _of_check(check: CheckResult) -> NextStep:
    return NextStep(
        title="Next",
        text=f"{check.name}: {short.first_line(check.summary)}",
        hint=short.first_line(check.hint),
        lines=check.lines,
        log=check.log,
        commands=(_AGAIN,),
    )
