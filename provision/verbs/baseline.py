"""`baseline`: what later runs of this host are compared with: shows it, or sets it to a verified run."""

from __future__ import annotations

import argparse
from pathlib import Path

from provision import terminal
from provision.engine import verified
from provision.errors import DONE, WrongUsage
from provision.verbs import _earlier, _given, _runs


def run(options: argparse.Namespace) -> int:
    logs = Path(_given.checkout()) / _given.settings(options).logs
    if len(options.what) > (options.action == "set"):
        raise WrongUsage(f"`{options.what[-1]}` is one word too many", hint="baseline set [RUN], or baseline show")
    if options.action == "set":
        report = _runs.read(logs, options.what[0]) if options.what else _earlier.newest(logs, whole=True)
        _earlier.choose(logs, report)
    is_set = _earlier.set_one(logs, verified.host_id()) is not None
    found = _earlier.baseline(logs)
    if options.json:
        terminal.document({"set": is_set, "report": found})
    elif found is None:
        terminal.line("there is none: no run has verified this host yet")
    else:
        how = "set" if is_set else "not set, so the last verified run of this host"
        terminal.line(f"{found.run}, started {found.started}, {len(found.figures)} figures ({how})")
    return DONE
