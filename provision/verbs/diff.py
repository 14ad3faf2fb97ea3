"""`diff`: show what changed between two runs, and what is likely to have caused it."""

from __future__ import annotations

import argparse
from pathlib import Path

from provision.display import terminal
from provision.errors import DONE, WrongUsage
from provision.report import diff_as_text
from provision.report._model import Report
from provision.session import baselines, inputs, runs


def run(options: argparse.Namespace) -> int:
    comparison = baselines.diff(
        *_pair(Path(inputs.checkout()) / inputs.settings(options).logs, options.runs)
    )
    if options.json:
        terminal.document(comparison)
    else:
        text = diff_as_text.brief if options.quiet else diff_as_text.text
        terminal.write(text(comparison))
    return DONE


def _pair(logs: Path, names: list[str]) -> tuple[Report, Report]:
    """Return the earlier and the later report.

    One name is compared with the newest run, no name means the baseline and the newest run.
    """
    if len(names) > 2:
        raise WrongUsage(
            f"diff compares two runs, not {len(names)}", hint="./setup.sh diff BEFORE AFTER"
        )
    reports = [runs.read(logs, name) for name in names]
    if len(reports) == 2:
        return reports[0], reports[1]
    after = runs.newest(logs)
    before = (
        reports[0]
        if reports
        else baselines.baseline(logs, of=str(after.host.get("id", "")), but=after.run)
    )
    if before is None:
        raise WrongUsage(
            "no earlier verified run of this host to compare with",
            where=str(logs),
            hint="./setup.sh diff BEFORE AFTER compares any two runs",
        )
    return before, after
