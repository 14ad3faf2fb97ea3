"""Show the plan before anything is fetched, and ask a person at a terminal."""

from __future__ import annotations

import argparse
import sys

from provision.display import terminal
from provision.engine.resolution_cache import Resolution
from provision.errors import DONE, UNSUPPORTED
from provision.plan import explain
from provision.plan._model import Plan, Unsupported
from provision.session import outputs, resolve, run_report
from provision.session._model import Session
from provision.steps.model import Lock


def confirmed(session: Session) -> Resolution | int:
    """Resolve, and return what is to be built; the exit code if there is no plan or no consent.

    A person is asked only if the packages differ from the last time.
    """
    resolution, is_news = resolve.resolved(
        session, upgrade=getattr(session.options, "upgrade", False)
    )
    if isinstance(resolution, Unsupported):
        # The report of a plan for another host would stand as the newest verdict on this one.
        if not session.target:
            outputs.everywhere(run_report.unsupported(session, resolution), session)
        return no_plan(resolution, session.options)
    if is_news and not agreed(resolution.plan, resolution.lock, session.options):
        return DONE
    return resolution


def no_plan(unsupported: Unsupported, options: argparse.Namespace) -> int:
    """Say that there is no plan, in the way that was asked for; return the exit code."""
    if options.stream:
        options.stream.problem = explain.in_one_line(unsupported)
        options.stream.hint = "; ".join(unsupported.advice)
    elif options.json:
        terminal.document(unsupported)
    else:
        terminal.show(explain.render(unsupported))
    return UNSUPPORTED


def agreed(plan: Plan, lock: Lock, options: argparse.Namespace) -> bool:
    """Show the plan and its download; return False if a person at a terminal says no."""
    if not (options.json or options.quiet or options.events):
        terminal.show(explain.render(plan))
        sizes = [pin.wheel.size for pin in lock.pins]  # some indexes do not tell them
        size = (
            f"{sum(sizes) / 1e9:.2f} GB" if all(sizes) else f"about {plan.download_mb / 1e3:.1f} GB"
        )
        terminal.line(f"\nto download: {size} in {len(sizes)} wheels, less those that are here")
    # Without a terminal there is no one to ask: a script or CI means what it says.
    if options.yes or not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    sys.stderr.write("\nGo on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    terminal.note("nothing was installed or changed")
    return False
