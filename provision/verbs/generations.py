"""`generations`: the environments of a prefix, which of them is current, complete, in use."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from provision.display import terminal
from provision.engine import environments
from provision.errors import DONE
from provision.session import request


def run(options: argparse.Namespace) -> int:
    found = environments.found(Path(request.made(options).prefix))
    if options.json:
        terminal.document([msgspec.to_builtins(one) for one in found])
        return DONE
    for one in found:
        state = "current" if one.current else "complete" if one.complete else "unfinished"
        users = ", ".join(f"{name} ({pid})" for pid, name in environments.in_use(Path(one.path)))
        terminal.line(f"{one.id}  {state:<10}  made {one.made}" + (f"  in use by {users}" if users else ""))
    if not found:
        terminal.line("no environment yet: ./setup.sh makes one")
    return DONE
