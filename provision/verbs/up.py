"""`up`: plan, ask, build, check, compare, switch and report. This is what `./setup.sh` runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from provision.session import confirm, pipeline, request, run_tasks


def run(options: argparse.Namespace) -> int:
    session = run_tasks.with_tasks(request.new_session(options))
    if (code := pipeline.nothing_to_do(session)) is not None:
        return code
    with request.locked(session, "up") as session:
        resolution = confirm.confirmed(session)
        if isinstance(resolution, int):
            return resolution
        if session.bundle is not None:
            from provision.engine import bundle

            bundle.write_notes(Path(session.prefix), Path(session.bundle), resolution.lock)
        return pipeline.bring_up(session, resolution)
