"""`generations`: lists the environments of a prefix, their state and their users."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from provision.display import terminal
from provision.engine import environments
from provision.errors import DONE
from provision.session import request


def run(options: argparse.Namespace) -> int:
    existing = environments.list_environments(Path(request.new_session(options).prefix))
    if options.json:
        terminal.document([msgspec.to_builtins(environment) for environment in existing])
        return DONE
    for item in existing:
        state = "current" if item.current else "complete" if item.complete else "unfinished"
        users = ", ".join(
            f"{name} ({pid})" for pid, name in environments.processes_using(Path(item.path))
        )
        in_use = f"  in use by {users}" if users else ""
        terminal.line(f"{item.id}  {state:<10}  built {item.made}{in_use}")
    if not existing:
        terminal.line("no environment yet: ./setup.sh builds one")
    return DONE
