"""A report in Markdown, for an issue or a wiki: the verdict first; nothing in a report is taken for markup."""

from __future__ import annotations

import json
from collections.abc import Iterable

from provision.engine.check_results import CheckResult
from provision.report import host_facts, short
from provision.report._markup import fenced, plain
from provision.report._model import Report
from provision.report.short import seconds

_MOST_EVIDENCE = 4000


def text(report: Report) -> str:
    """Checks that are fine are rows; the others also have what was found."""
    part = f": {report.part}" if report.part else ""
    lines = [f"# {report.verdict.capitalize()} (exit code {report.exit_code}){part}", ""]
    if report.doubt:
        lines = [f"**This report {plain(report.doubt)}.**", "", *lines]
    lines += [f"* {plain(one)}" for one in report.against] + [""] * bool(report.against)
    if report.owed:
        lines += [f"Owed, only the host can try them: {plain(', '.join(report.owed))}", ""]
    about = [("Run", report.run), ("Started", report.started), ("Took", seconds(report.seconds))]
    about += [("Environment", report.generation or "none"), ("vllm-ready", report.tool), *host_facts.shown(report)]
    lines += _table(("", ""), (row for row in about if row[1]))
    lines += _plan(report)
    steps = [
        (str(one.number), one.name, one.outcome, seconds(one.seconds), short.first_line(one.problem))
        for one in report.steps
    ]
    lines += _section("Steps", _table(("Step", "Name", "Outcome", "Time", "Problem"), steps))
    checks = [(one.outcome, one.name, one.summary, seconds(one.seconds)) for one in report.checks]
    lines += _section("Checks", _table(("Outcome", "Check", "What came of it", "Time"), checks))
    for check in report.checks:
        if check.outcome in ("fail", "error", "warn"):
            lines += _found(check)
    figures = [(one.check, one.name, short.of(one), short.with_unit(one), short.spread(one)) for one in report.figures]
    lines += _section("Figures", _table(("Check", "Figure", "Of", "Value", "Spread"), figures))
    commands = [
        line for label, run in report.commands.items() for line in (f"### {plain(label)}", "", *fenced("\n".join(run)))
    ]
    lines += _section("Commands that were run", commands)
    return "\n".join(lines).rstrip("\n") + "\n"


def _plan(report: Report) -> list[str]:
    if report.plan is None:
        return []
    decided = [(one.subject, one.chosen, one.because) for one in report.plan.decisions]
    rejected = [(one.subject, each.candidate, each.reason) for one in report.plan.decisions for each in one.rejected]
    lines = _section("Plan", _table(("Subject", "Chosen", "Because"), decided))
    lines += _section("Not taken", _table(("Subject", "Candidate", "Reason"), rejected))
    return lines + [f"* Warning: {plain(one)}" for one in report.plan.warnings] + [""]


def _found(check: CheckResult) -> list[str]:
    lines = [f"### {plain(check.name)}: {check.outcome}", "", f"* {plain(check.summary)}"]
    lines += [*([f"* Hint: {plain(check.hint)}"] if check.hint else []), ""]
    if check.evidence:
        said = json.dumps(check.evidence, indent=1, ensure_ascii=False)
        cut = "\n... report.json has the rest" if len(said) > _MOST_EVIDENCE else ""
        lines += fenced(said[:_MOST_EVIDENCE] + cut)
    return lines


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}", "", *lines] if lines else []


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    body = [f"| {' | '.join(map(plain, row))} |" for row in rows]
    return [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *body, ""] if body else []
