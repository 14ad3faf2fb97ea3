"""`up`: record, plan, show what it takes, provision what is missing, check, make it current: the main job."""

from __future__ import annotations

import argparse
from pathlib import Path

from provision.engine import bundle, locks
from provision.session import confirm, pipeline, request, run_tasks


def run(options: argparse.Namespace) -> int:
    wish = run_tasks.joined(request.made(options))
    # Which set of packages a bundle brings is only seen in it.
    news = options.upgrade or wish.bundle is not None
    if not news and (code := pipeline.nothing_to_do(wish, options)) is not None:
        return code
    with locks.hold(Path(wish.prefix), "up") as lock:
        settled = confirm.settled(wish, options, upgrade=options.upgrade)
        if isinstance(settled, int):
            return settled
        if wish.bundle is not None:
            bundle.write_notes(Path(wish.prefix), Path(wish.bundle), settled.lock)
        return pipeline.carry_out(wish, settled, options, lock)
