"""`rollback`: makes the generation before the current one, or a named one, current."""

from __future__ import annotations

import argparse

from provision.display import terminal
from provision.engine import environments, locks
from provision.errors import DONE
from provision.session import request


def run(options: argparse.Namespace) -> int:
    prefix = request.standing_prefix(request.made(options))
    with locks.hold(prefix, "rollback"):
        now, users = environments.rollback(prefix, options.id)
    if options.json:
        terminal.document({"current": now, "still_running": [{"pid": pid, "name": name} for pid, name in users]})
        return DONE
    terminal.line(f"current is {now}")
    for pid, name in users:
        terminal.line(f"still running from the one before: {name} (pid {pid})")
    return DONE
