"""Show the plan before anything is fetched, and ask a person at a terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from provision.display import question, rate, terminal
from provision.engine.resolution_cache import Resolution
from provision.errors import UNSUPPORTED, Interrupted, SourceFailed
from provision.plan._model import Plan, Unsupported
from provision.session import outputs, preflight, resolve, run_report, silence
from provision.session._model import Session
from provision.steps.model import Lock
from provision.steps.wheel_folder import FOLDER


def confirmed(session: Session) -> Resolution | int:
    """Resolve, and return what is to be built, or the exit code if there is no plan.

    A person is asked only if the packages differ from the last time.
    """
    if not (session.options.yes or question.has_person()):
        session.say(
            "stdin is no terminal: what is missing is installed without asking, as with --yes"
        )
    try:
        resolution, is_news = resolve.resolved(
            session, upgrade=getattr(session.options, "upgrade", False)
        )
    except SourceFailed as failure:
        if session.options.json:
            terminal.document(silence.document(failure))
        raise
    if isinstance(resolution, Unsupported):
        # The report of a plan for another host would stand as the newest verdict on this one.
        if not session.target:
            outputs.everywhere(run_report.unsupported(session, resolution), session)
        return no_plan(resolution, session.options)
    if is_news:
        ask_consent(session, resolution.plan, resolution.lock)
    return resolution


def no_plan(unsupported: Unsupported, options: argparse.Namespace) -> int:
    """Say that there is no plan, in the way that was asked for; return the exit code."""
    from provision.plan import explain  # rich loads slowly

    if options.stream:
        options.stream.problem = explain.in_one_line(unsupported)
        options.stream.hint = "; ".join(unsupported.advice)
    elif options.json:
        terminal.document(unsupported)
    else:
        terminal.show(explain.render(unsupported))
    return UNSUPPORTED


def ask_consent(session: Session, plan: Plan, lock: Lock) -> None:
    """Show the plan and its download, and ask at a terminal; raise Interrupted without consent."""
    options = session.options
    if not (options.json or options.quiet or options.events):
        from provision.plan import explain

        shown = plan if session.target else preflight.with_warnings(plan, session, None)
        terminal.show(explain.render(shown))
        terminal.line(f"\nto download: {_download(Path(session.prefix) / FOLDER, plan, lock)}")
    if options.yes or not question.has_person():
        return
    if not question.agreed("Go on?"):
        raise Interrupted("stopped", hint="nothing was installed or changed")


def _download(folder: Path, plan: Plan, lock: Lock) -> str:
    """Return what is still to be fetched; some indexes do not tell sizes."""
    wheels = [pin.wheel for pin in lock.pins]
    missing = [wheel for wheel in wheels if not _is_stored(folder / wheel.file, wheel.size)]
    size = rate.amount(sum(wheel.size for wheel in missing), "bytes")
    if missing and not all(wheel.size for wheel in missing):
        size = f"about {plan.download_mb / 1e3:.1f} GB"
    stored = len(wheels) - len(missing)
    count = f"{len(missing)} wheel{'s' * (len(missing) != 1)}"
    return f"{size} in {count}" + (f"; {stored} already here" if stored else "")


def _is_stored(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == (size or path.stat().st_size)
    except OSError:
        return False
