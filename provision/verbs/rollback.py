"""`rollback`: makes the generation before the current one, or a named one, current."""

from __future__ import annotations

import argparse

from provision import terminal
from provision.engine import generations, locks
from provision.errors import DONE
from provision.verbs import _wish


def run(options: argparse.Namespace) -> int:
    prefix = _wish.standing_prefix(_wish.made(options))
    with locks.hold(prefix, "rollback"):
        now, users = generations.rollback(prefix, options.id)
    if options.json:
        terminal.document({"current": now, "still_running": [{"pid": pid, "name": name} for pid, name in users]})
        return DONE
    terminal.line(f"current is {now}")
    for pid, name in users:
        terminal.line(f"still running from the one before: {name} (pid {pid})")
    return DONE
