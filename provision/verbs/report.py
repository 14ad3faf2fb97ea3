"""`report`: show a run, the newest by default, in one of the report formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from provision.display import terminal
from provision.doors import files
from provision.errors import DONE, WrongUsage
from provision.session import formats, inputs, runs

if TYPE_CHECKING:
    import argparse

    from provision.report._model import Report


def run(options: argparse.Namespace) -> int:
    if options.json and options.format not in (None, "json"):
        raise WrongUsage(
            f"--json and --format {options.format} contradict each other",
            hint="leave one of them out",
        )
    logs = Path(inputs.checkout()) / inputs.settings(options).logs
    report = runs.read(logs, options.run)
    if options.run is None and not options.quiet:
        _name_newer(logs, report)
    if options.share:
        # Only --share needs the recorder, which loads slowly.
        from provision.host import record
        from provision.report import share

        report = share.scrubbed_for_sharing(report, record.own_scrubber())
    format_name = "json" if options.json else options.format or "text"
    text = formats.render(report, format_name)
    if options.output is not None:
        files.write(Path(options.output), text, make_folders=False)
        if not options.quiet:
            terminal.note(f"written to {options.output}")
    elif format_name == "text":
        terminal.write(text)  # with replacements for letters that the terminal lacks
    else:
        # Documents are UTF-8 whatever the terminal's encoding.
        terminal.out(text.encode())
    return DONE


def _name_newer(logs: Path, report: Report) -> None:
    """Name the newer runs, which are not about the environment as a whole."""
    newer = [run for run in runs.ids(logs) if run > report.run]
    if newer:
        count = "1 newer run is" if len(newer) == 1 else f"{len(newer)} newer runs are"
        why = "interrupted, or about a part of the environment or something else"
        terminal.note(f"{count} not shown ({why}); the newest is {newer[0]}")
