"""A report in any format of the table; the format and its templates are loaded on use."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final

from provision import report as reports
from provision.doors import files
from provision.errors import WrongUsage
from provision.report._model import Report
from provision.report.format_table import FORMATS

PAGE: Final = FORMATS["html"].file
BESIDE: Final = {row.file: name for name, row in FORMATS.items() if row.file}  # report.json
METRICS: Final = "metrics.prom"  # in the folder of all runs, for node_exporter
_TEMPLATES = Path(reports.__file__).with_name("templates")


def render(report: Report, format_: str) -> str:
    """Return the whole report in one format; raise WrongUsage where the table has no such row."""
    row = FORMATS.get(format_)
    if row is None:
        raise WrongUsage(f"unknown report format `{format_}`", hint=f"one of {', '.join(FORMATS)}")
    module = importlib.import_module(f"{reports.__name__}.as_{format_}")
    templates = {name: files.read_text(_TEMPLATES / name) for name in row.templates}
    # A format is told by its name, so mypy does not know its function.
    text: str = module.text(report, templates) if templates else module.text(report)
    return text
