"""A report as one HTML page that needs no network and no other file; its text is always escaped."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from provision.plan.choose_gpus import ranges
from provision.report import charts, figures, host_facts, short
from provision.report._model import Report

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
    # Bars are relative to the slowest step; steps that were kept take no time.
    slowest = max([step.seconds for step in report.steps], default=0) or 1
    plan = report.plan
    return {
        "problems": _problems(report),
        "host": host_facts.rows(report),
        "checks": sorted(report.checks, key=lambda check: short.OUTCOMES.index(check.outcome)),
        "outcomes": [(outcome, counts[outcome]) for outcome in short.OUTCOMES if counts[outcome]],
        "steps": [(step, f"{100 * max(step.seconds, 0) / slowest:.1f}") for step in report.steps],
        "attention": figures.attention(report.figures),
        "area": charts,
        "matrices": figures.matrices(report.figures),
        "tables": figures.tables(report.figures),
        "words": figures.words(report.figures),
        "packages": [pair for pair in plan.packages.items() if pair[1]] if plan else [],
        "commands": [(label, "\n".join(run)) for label, run in report.commands.items() if run],
    }


def _problems(report: Report) -> list[str]:
    summaries = {f"{check.name} failed": short.first_line(check.summary) for check in report.checks}
    return [
        ": ".join(filter(None, pair))
        for pair in ((problem, summaries.get(problem, "")) for problem in report.problems)
    ]
