"""`prune`: removes generations that are neither current nor in use, except the newest that the settings keep."""

from __future__ import annotations

import argparse

from provision import terminal
from provision.engine import generations, locks, store
from provision.errors import DONE
from provision.verbs import _wish


def run(options: argparse.Namespace) -> int:
    wish = _wish.made(options)
    prefix = _wish.standing_prefix(wish)
    with locks.hold(prefix, "prune"):
        before = store.named(prefix)
        store.remove_toolkits(prefix)
        removed = generations.prune(prefix, wish.settings.keep)
        store.prune(prefix, before)
    if options.json:
        terminal.document({"removed": removed})
    else:
        terminal.line(f"removed {', '.join(removed)}" if removed else "nothing to remove")
    return DONE
