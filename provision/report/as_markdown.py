"""A report in Markdown for an issue or a wiki: the verdict first, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable

from provision.report import host_facts, short
from provision.report._markup import fenced, plain
from provision.report._model import Report
from provision.report.short import seconds
from provision.results import CheckResult

# GitHub refuses an issue of more than 65,536 letters.
_MOST_EVIDENCE = 4000


def text(report: Report) -> str:
    """Return the document; checks that failed, warned or could not decide also show evidence."""
    lines = [*_verdict(report), *_about(report), *_plan(report)]
    steps = [
        (
            str(step.number),
            step.name,
            step.outcome,
            seconds(step.seconds),
            short.first_line(step.problem),
        )
        for step in report.steps
    ]
    lines += _section("Steps", _table(("Step", "Name", "Outcome", "Time", "Problem"), steps))
    checks = [
        (check.outcome, check.name, check.summary, seconds(check.seconds))
        for check in report.checks
    ]
    lines += _section("Checks", _table(("Outcome", "Check", "Result", "Time"), checks))
    for check in report.checks:
        if check.outcome in ("fail", "error", "warn"):
            lines += _details(check)
    figures = [
        (figure.check, figure.name, short.of(figure), short.with_unit(figure), short.spread(figure))
        for figure in report.figures
    ]
    lines += _section("Figures", _table(("Check", "Figure", "Of", "Value", "Spread"), figures))
    lines += _commands(report)
    return "\n".join(lines).rstrip("\n") + "\n"


def _verdict(report: Report) -> list[str]:
    doubt = [f"**This report {plain(report.doubt)}.**", ""] if report.doubt else []
    part = f": {report.part}" if report.part else ""
    head = [f"# {plain(report.headline.capitalize())} (exit code {report.exit_code}){part}", ""]
    problems = [f"* {plain(problem)}" for problem in report.problems]
    owed = [f"Still to be proved on the target host: {plain(', '.join(report.owed))}", ""]
    untried = [f"{plain(report.untried.capitalize())}", ""] if report.untried else []
    end = [*(owed if report.owed else []), *untried]
    return [*doubt, *head, *problems, *[""] * bool(problems), *end]


def _about(report: Report) -> list[str]:
    rows = [
        ("Run", report.run),
        ("Started", report.started),
        ("Took", seconds(report.seconds)),
        ("Environment", report.generation or "none"),
        ("vllm-ready", report.tool),
        *host_facts.rows(report),
    ]
    return _table(("", ""), (row for row in rows if row[1]))


def _plan(report: Report) -> list[str]:
    if report.plan is None:
        return []
    decisions = report.plan.decisions
    chosen = [(decision.subject, decision.chosen, decision.because) for decision in decisions]
    rejected = [
        (decision.subject, other.candidate, other.reason)
        for decision in decisions
        for other in decision.rejected
    ]
    lines = _section("Plan", _table(("Subject", "Chosen", "Because"), chosen))
    lines += _section("Rejected", _table(("Subject", "Candidate", "Reason"), rejected))
    return lines + [f"* Warning: {plain(warning)}" for warning in report.plan.warnings] + [""]


def _details(check: CheckResult) -> list[str]:
    lines = [f"### {plain(check.name)}: {check.outcome}", "", f"* {plain(check.summary)}"]
    lines += [f"* Hint: {plain(check.hint)}"] if check.hint else []
    lines += [f"* Log: {plain(check.log)}"] if check.log else []
    lines += ["", *fenced("\n".join(check.lines))] if check.lines else [""]
    if check.evidence:
        lines += fenced(short.evidence(check.evidence, _MOST_EVIDENCE))
    return lines


def _commands(report: Report) -> list[str]:
    lines: list[str] = []
    for label, commands in report.commands.items():
        lines += [f"### {plain(label)}", "", *fenced("\n".join(commands))]
    return _section("Commands", lines)


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}", "", *lines] if lines else []


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    body = [f"| {' | '.join(map(plain, row))} |" for row in rows]
    return [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *body, ""] if body else []
