"""`report`: a run, the newest by default, in the format that its reader wants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from provision.display import terminal
from provision.doors import files
from provision.errors import DONE, WrongUsage
from provision.session import formats, inputs, runs

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    if options.json and options.format not in (None, "json"):
        raise WrongUsage(f"--json and --format {options.format} ask for two things", hint="leave one of them out")
    logs = Path(inputs.checkout()) / inputs.settings(options).logs
    told = runs.read(logs, options.run)
    if options.share:
        from provision.host import record
        from provision.report import share

        told = share.shared(told, record.who_and_where())
    text = formats.said(told, "json" if options.json else options.format or "text")
    if options.output is None:
        if options.format in (None, "text") and not options.json:
            terminal.write(text)
        else:
            terminal.out(text.encode())
        return DONE
    files.write(Path(options.output), text, make_folders=False)
    if not options.quiet:
        terminal.note(f"written to {options.output}")
    return DONE
