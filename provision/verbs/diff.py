"""`diff`: what changed between two runs, under what is likely to have caused it."""

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
    found = baselines.diff(*_two(logs, options.runs))
    if options.json:
        terminal.document(found)
    else:
        terminal.write(diff_as_text.brief(found) if options.quiet else diff_as_text.text(found))
    return DONE


def _two(logs: Path, named: list[str]) -> tuple[Report, Report]:
    """As they were given, the first is before; one is laid beside the newest, the newest beside the baseline."""
    if len(named) > 2:
        raise WrongUsage(f"two runs can be compared, not {len(named)}", hint="./setup.sh diff BEFORE AFTER")
    reports = [runs.read(logs, one) for one in named]
    if len(reports) == 2:
        return reports[0], reports[1]
    after = baselines.newest(logs)
    host = str(after.host.get("id", ""))
    before = reports[0] if reports else baselines.baseline(logs, of=host, but=after.run)
    if before is None:
        hint = "./setup.sh diff BEFORE AFTER compares any two"
        raise WrongUsage("no earlier verified run of this host is there to compare with", where=str(logs), hint=hint)
    return before, after
