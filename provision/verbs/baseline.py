"""`baseline`: what later runs of this host are compared with: shows it, or sets it to a verified run."""

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
        raise WrongUsage(f"`{options.what[-1]}` is one word too many", hint="baseline set [RUN], or baseline show")
    if options.action == "set":
        report = runs.read(logs, options.what[0]) if options.what else baselines.newest(logs, whole=True)
        baselines.choose(logs, report)
    is_set = baselines.set_one(logs, verified.host_id()) is not None
    found = baselines.baseline(logs)
    if options.json:
        terminal.document({"set": is_set, "report": found})
    elif found is None:
        terminal.line("there is none: no run has verified this host yet")
    else:
        how = "set" if is_set else "not set, so the last verified run of this host"
        terminal.line(f"{found.run}, started {found.started}, {len(found.figures)} figures ({how})")
    return DONE
