"""A report as one HTML page that needs no network and no other file; its text is always escaped."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from provision.events import StepResult
from provision.plan.choose_gpus import ranges
from provision.report import charts, figures, host_facts, short
from provision.report._model import Report
from provision.report.next_step import next_step
from provision.results import CheckResult

T = TypeVar("T", StepResult, CheckResult)

# A browser stays fast with 200 checks of this size.
_MOST_EVIDENCE = 20_000


def text(report: Report, templates: Mapping[str, str]) -> str:
    """Return the page; `templates` holds the text of each template by its file name."""
    from jinja2 import DictLoader, Environment, StrictUndefined  # slow; no other format needs it

    environment = Environment(
        loader=DictLoader(templates),
        autoescape=True,
        # A misspelt name in a template raises an error instead of printing nothing.
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "seconds": short.seconds,
        "evidence": lambda evidence: short.evidence(evidence, _MOST_EVIDENCE),
        "number": short.number,
        "value": short.value,
        "spread": short.spread,
        "ranges": ranges,
        "first_line": short.first_line,
    }
    # The page's policy allows this one script, by its hash, and nothing else.
    script = environment.get_template("page.js").render()
    page: str = environment.get_template("page.html").render(
        report=report,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **_contents(report),
    )
    return page


def _contents(report: Report) -> dict[str, Any]:
    counts: Counter[str] = Counter(check.outcome for check in report.checks)
    # A bar is relative to the slowest step or check; what was kept takes no time.
    steps, checks = _with_part(report.steps), _with_part(report.checks)
    checks.sort(key=lambda row: short.OUTCOMES.index(row[0].outcome))
    plan = report.plan
    return {
        "headline": report.headline[:1].upper() + report.headline[1:],
        "next": next_step(report),
        "problems": _problems(report),
        "host": host_facts.rows(report),
        "open_checks": [row for row in checks if row[0].outcome != "pass"],
        "passed_checks": [row for row in checks if row[0].outcome == "pass"],
        "outcomes": [(outcome, counts[outcome]) for outcome in short.OUTCOMES if counts[outcome]],
        "steps": steps,
        "attention": figures.attention(report.figures),
        "area": charts,
        "matrices": figures.matrices(report.figures),
        "tables": figures.tables(report.figures),
        "words": figures.words(report.figures),
        "packages": [pair for pair in plan.packages.items() if pair[1]] if plan else [],
        "commands": [(label, "\n".join(run)) for label, run in report.commands.items() if run],
    }


def _with_part(rows: Sequence[T]) -> list[tuple[T, str]]:
    """Return each step or check with its part of the longest time, in per cent."""
    slowest = max([row.seconds for row in rows], default=0) or 1
    return [(row, f"{100 * max(row.seconds, 0) / slowest:.1f}") for row in rows]


def _problems(report: Report) -> list[tuple[str, str]]:
    """Return every problem with the name of its check, if it is one's."""
    summaries = {f"{check.name} failed": short.first_line(check.summary) for check in report.checks}
    names = {check.name for check in report.checks}
    return [
        (
            ": ".join(filter(None, (problem, summaries.get(problem, "")))),
            name if (name := problem.partition(" ")[0]) in names else "",
        )
        for problem in report.problems
    ]
