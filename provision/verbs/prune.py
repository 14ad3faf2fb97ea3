"""`prune`: remove environments beyond the newest `keep` that are neither current nor in use."""

from __future__ import annotations

import argparse

from provision.display import terminal
from provision.engine import environments, locks, store
from provision.errors import DONE
from provision.session import request


def run(options: argparse.Namespace) -> int:
    session = request.new_session(options)
    prefix = request.standing_prefix(session)
    with locks.hold(prefix, "prune"):
        before = store.referenced(prefix)
        store.remove_toolkits(prefix)
        removed = environments.prune(prefix, session.settings.keep, keep_begun=True)
        store.prune(prefix, before)
    if options.json:
        terminal.document({"removed": removed})
    else:
        terminal.line(f"removed {', '.join(removed)}" if removed else "nothing to remove")
        begun = environments.begun_last(environments.list_environments(prefix))
        if begun and not options.quiet:
            terminal.note(f"{begun.id} is not finished and stays: ./setup.sh goes on with it")
    return DONE
