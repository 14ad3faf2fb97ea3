"""What `up` and `provision` do before anything is fetched: show the plan, and ask a person at a terminal."""

from __future__ import annotations

import argparse
import sys

from provision.display import terminal
from provision.engine.resolution_cache import Wanted
from provision.errors import DONE, UNSUPPORTED
from provision.plan import explain
from provision.plan._model import Plan, Unsupported
from provision.session import outputs, request, run_report
from provision.session.request import Wish
from provision.steps.model import Lock


def settled(wish: Wish, options: argparse.Namespace, *, upgrade: bool = False) -> Wanted | int:
    """What is to be brought up, agreed to where it is news; else the exit code."""
    found, is_news = request.resolved(wish, upgrade=upgrade)
    if isinstance(found, Unsupported):
        if not wish.target:  # else an earlier verdict would stand as the newest
            outputs.everywhere(run_report.unsupported(wish, found), wish)
        return no_plan(found, options)
    return found if not is_news or agreed(found.plan, found.lock, options) else DONE


def no_plan(found: Unsupported, options: argparse.Namespace) -> int:
    if options.stream:
        options.stream.problem, options.stream.hint = explain.in_one_line(found), "; ".join(found.advice)
    elif options.json:
        terminal.document(found)
    else:
        terminal.show(explain.explained(found))
    return UNSUPPORTED


def agreed(plan: Plan, lock: Lock, options: argparse.Namespace) -> bool:
    """The plan, what it downloads and takes on disk; a person at a terminal is asked."""
    if not (options.json or options.quiet or options.events):
        terminal.show(explain.explained(plan))
        sizes = [pin.wheel.size for pin in lock.pins]
        exactly = f"{sum(sizes) / 1e9:.2f} GB" if all(sizes) else f"about {plan.download_mb / 1e3:.1f} GB"
        terminal.line(f"\nto fetch: {exactly} in {len(sizes)} wheels, as far as they are not here already")
    if options.yes or not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    sys.stderr.write("\nGo on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    terminal.note("nothing was installed or changed")
    return False
