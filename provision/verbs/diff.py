"""`diff`: shows what changed between two runs, grouped by the likely cause."""

from __future__ import annotations

import argparse
from pathlib import Path

from provision.display import terminal
from provision.errors import DONE, WrongUsage
from provision.report import diff_as_text
from provision.report._model import Report
from provision.session import baselines, inputs, runs


def run(options: argparse.Namespace) -> int:
    logs = Path(inputs.checkout()) / inputs.settings(options).logs
    comparison = baselines.diff(*_before_and_after(logs, options.runs))
    if options.json:
        terminal.document(comparison)
    elif options.quiet:
        terminal.write(diff_as_text.brief(comparison))
    else:
        terminal.write(diff_as_text.text(comparison))
    return DONE


def _before_and_after(logs: Path, names: list[str]) -> tuple[Report, Report]:
    """Return the two runs to compare.

    One named run is compared with the newest run; without a name, the newest run is compared with
    the baseline.
    """
    if len(names) > 2:
        what = f"only two runs can be compared, not {len(names)}"
        raise WrongUsage(what, hint="./setup.sh diff BEFORE AFTER")
    reports = [runs.read(logs, name) for name in names]
    if len(reports) == 2:
        return reports[0], reports[1]
    after = baselines.newest(logs)
    host = str(after.host.get("id", ""))
    before = reports[0] if reports else baselines.baseline(logs, of=host, but=after.run)
    if before is None:
        what = "this host has no earlier verified run to compare with"
        hint = "./setup.sh diff BEFORE AFTER compares any two runs"
        raise WrongUsage(what, where=str(logs), hint=hint)
    return before, after
