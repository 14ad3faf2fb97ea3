"""A report as one HTML page that needs no network and no other file; whatever a report holds is text in it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from provision.plan.choose_gpus import ranges
from provision.report import figures, host_facts, short
from provision.report._model import Report

_MOST_EVIDENCE = 20_000


def text(report: Report, templates: Mapping[str, str]) -> str:
    """`templates`: page.html, page.css and page.js, as the caller has read them."""
    from jinja2 import DictLoader, Environment, StrictUndefined

    environment = Environment(
        loader=DictLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "seconds": short.seconds,
        "evidence": _evidence,
        "ranges": ranges,
        "first_line": short.first_line,
    }
    script = environment.get_template("page.js").render()
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page: str = environment.get_template("page.html").render(
        report=report, script=script, script_hash=allowed, **_of(report)
    )
    return page


def _of(report: Report) -> dict[str, Any]:
    counts: Counter[str] = Counter(check.outcome for check in report.checks)
    slowest = max([step.seconds for step in report.steps], default=0) or 1
    plan = report.plan
    return {
        "against": _against(report),
        "host": host_facts.shown(report),
        "checks": sorted(report.checks, key=lambda check: short.OUTCOMES.index(check.outcome)),
        "outcomes": [(outcome, counts[outcome]) for outcome in short.OUTCOMES if counts[outcome]],
        "steps": [(step, f"{100 * max(step.seconds, 0) / slowest:.1f}") for step in report.steps],
        "attention": figures.attention(report.figures),
        "matrices": figures.matrices(report.figures),
        "tables": figures.tables(report.figures),
        "words": figures.words(report.figures),
        "packages": [(name, one) for name, one in plan.packages.items() if one] if plan else [],
        "commands": [(label, "\n".join(run)) for label, run in report.commands.items() if run],
    }


def _against(report: Report) -> list[str]:
    """A check that failed with what it found, so that nobody has to look for it."""
    found = {f"{check.name} failed": short.first_line(check.summary) for check in report.checks}
    return [": ".join(part for part in (one, found.get(one, "")) if part) for one in report.against]


def _evidence(evidence: dict[str, Any]) -> str:
    said = json.dumps(evidence, indent=2, ensure_ascii=False)
    return said if len(said) <= _MOST_EVIDENCE else f"{said[:_MOST_EVIDENCE]}\n... report.json has the rest"
