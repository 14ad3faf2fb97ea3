"""`rollback`: switches back to the previous environment, or to a given one."""

from __future__ import annotations

import argparse

from provision.display import terminal
from provision.engine import environments, locks
from provision.errors import DONE
from provision.session import request


def run(options: argparse.Namespace) -> int:
    prefix = request.standing_prefix(request.new_session(options))
    with locks.hold(prefix, "rollback"):
        current, users = environments.rollback(prefix, options.id)
    if options.json:
        terminal.document(
            {
                "current": current,
                "still_running": [{"pid": pid, "name": name} for pid, name in users],
            }
        )
        return DONE
    terminal.line(f"the current environment is {current}")
    for pid, name in users:
        terminal.line(f"still running from the previous one: {name} (pid {pid})")
    return DONE
