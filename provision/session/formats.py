"""A report in the formats that there are, each loaded when it is asked for; the page's templates are read here."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from provision.doors import files
from provision.report._model import Report

PAGE: Final = "report.html"
BESIDE: Final = {"report.md": "markdown", "junit.xml": "junit", PAGE: "html"}  # report.json, in a run's folder
METRICS: Final = "metrics.prom"
_TEMPLATES = Path(__file__).resolve().parents[1] / "report" / "templates"


def said(report: Report, format_: str) -> str:
    """The whole text of one format."""
    if format_ == "text":
        from provision.report import as_text

        return as_text.text(report)
    if format_ == "markdown":
        from provision.report import as_markdown

        return as_markdown.text(report)
    if format_ == "junit":
        from provision.report import as_junit

        return as_junit.text(report)
    if format_ == "prometheus":
        from provision.report import as_prometheus

        return as_prometheus.text(report)
    if format_ == "html":
        from provision.report import as_html

        return as_html.text(report, {path.name: files.read_text(path) for path in _TEMPLATES.iterdir()})
    return _json(report)


def _json(report: Report) -> str:
    """As it was written; a verdict that its contents do not support is told before it."""
    doubt = {"doubt": report.doubt} if report.doubt else {}
    document = {**doubt, **msgspec.to_builtins(report)}
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"
