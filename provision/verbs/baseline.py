"""`baseline`: shows the run that later runs of this host are compared with, or sets it."""

from __future__ import annotations

import argparse
from pathlib import Path

from provision.display import terminal
from provision.engine import verified
from provision.errors import DONE, WrongUsage
from provision.session import baselines, inputs, runs


def run(options: argparse.Namespace) -> int:
    logs = Path(inputs.checkout()) / inputs.settings(options).logs
    if len(options.what) > (options.action == "set"):
        raise WrongUsage(
            f"`{options.what[-1]}` is not expected here",
            hint="baseline set [RUN], or baseline show",
        )
    if options.action == "set":
        names = options.what
        baselines.choose(logs, runs.read(logs, names[0] if names else None))
    is_set = baselines.chosen(logs, verified.host_id()) is not None
    baseline = baselines.baseline(logs)
    if options.json:
        terminal.document({"set": is_set, "report": baseline})
    elif baseline is None:
        terminal.line("no baseline: no run has verified this host yet")
    else:
        origin = "set" if is_set else "not set, so the last verified run of this host"
        terminal.line(
            f"{baseline.run}, started {baseline.started}, "
            f"{len(baseline.figures)} figures ({origin})"
        )
    return DONE
