"""The pipeline of `up` and `provision`: build, check, compare, switch, run tasks, write outputs.

The first pass makes vLLM ready. A second pass follows if an optional package is still missing that
takes hours to compile: it adds a second environment, and the first one stays ready meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from provision.display import progress, terminal
from provision.doors import at_once
from provision.engine import resolution_cache
from provision.engine.bring_up import Built
from provision.engine.resolution_cache import Resolution
from provision.errors import Failure, Interrupted, StepFailed
from provision.events import Note, StepResult
from provision.plan._model import OPTIONAL
from provision.session import (
    announce,
    build,
    check,
    compare,
    optional,
    outputs,
    resolve,
    run_report,
    run_tasks,
    switch,
)
from provision.session._model import Outcome, Session

_CHECKED_AGAIN: Final = (
    "every step is in place; it is checked again, because no run has verified it since"
)
_RESUME: Final = "nothing in use was changed; the same command resumes"
_READY: Final = f"vLLM is ready without {OPTIONAL}; the same command continues with it"
_SECOND_PASS: Final = (
    f"vLLM is ready; what follows adds {OPTIONAL}, and may be interrupted at any time"
)


def nothing_to_do(session: Session) -> int | None:
    """Return the exit code if the environment of the same request is in place and verified.

    Nothing is written to find that out, and no lock is taken.
    """
    # Only the bundle itself shows which packages it brings.
    if getattr(session.options, "upgrade", False) or session.bundle is not None:
        return None
    last = resolution_cache.load(Path(session.prefix))
    if not last or last.tool != resolution_cache.tool() or optional.is_missing(last):
        return None
    # The host is asked while the metadata of files is compared: each takes half of the time.
    known = at_once.Workers(1, "host").submit(lambda: resolve.still_known(session, last))
    outcome = build.glance(session, last)
    if known.result() != last or not outcome or run_tasks.pending(session, outcome):
        return None
    announce.announce(session, outcome)
    return outcome.exit_code


def bring_up(session: Session, resolution: Resolution) -> int:
    """Bring up the environment of a resolution, write the run's outputs, return the exit code."""
    if run_tasks.names_task(session):
        outcome, failure = run_tasks.carry_out(session, run_tasks.base(session, resolution))
        follows = False  # named tasks add nothing to the environment
    else:
        session, outcome, failure = _first_pass(session, resolution)
        follows = (
            session.is_whole
            and outcome.is_current
            and not failure
            and optional.is_missing(outcome.resolution)
        )
    # A person need not read "nothing to do" before hours of compilation.
    announce.announce(
        session, outcome, is_last=not follows, is_news=not (follows and outcome.nothing_to_do)
    )
    # Raised after the outputs are written: its report names the task that failed.
    if failure:
        raise failure
    return _second_pass(session, outcome) if follows else outcome.exit_code


def _first_pass(
    session: Session, resolution: Resolution
) -> tuple[Session, Outcome, StepFailed | None]:
    """Make vLLM ready, with the optional package if that is quick, and run the user's tasks."""
    with _listening(session, resolution) as live:
        part, resolution = optional.prepare(live, resolution)
        outcome = _all_steps(live, _environment(part, resolution))
    # A run of one step is no reason to run tasks that come after all steps.
    if part.only is not None:
        return live, outcome, None
    outcome, failure = run_tasks.carry_out(part, outcome)
    return live, outcome, failure


def _second_pass(session: Session, first: Outcome) -> int:
    """Add the optional package. Whatever happens, the first environment stays ready."""
    live = msgspec.structs.replace(session, slow=True)
    outcome, failure = first, None
    try:
        with _listening(live, first.resolution) as live:
            live.listener(Note(text=_SECOND_PASS))
            outcome = _all_steps(live, _added(live, first))
        # Tasks belong to an environment: in the first one they are done.
        if outcome.generation != first.generation:
            outcome, failure = run_tasks.carry_out(live, outcome)
    except Interrupted:
        # The first pass printed no document, because this one was to follow.
        if session.options.json:
            terminal.document(run_report.report(live, outcome))
        raise Interrupted("interrupted", hint=_READY) from None
    announce.announce(live, outcome, is_news=outcome != first)
    if failure:
        raise failure
    return outcome.exit_code


def _added(session: Session, first: Outcome) -> Outcome:
    """Return the environment with the optional package; the first one if that fails."""
    resolution = first.resolution
    try:
        resolution = optional.obtain(session, resolution)
        outcome = msgspec.structs.replace(first, resolution=resolution)
        if resolution.lock != first.resolution.lock:
            outcome = _environment(session, resolution)
            if outcome.nothing_to_do:  # the package was removed again
                outcome = msgspec.structs.replace(first, resolution=outcome.resolution)
        else:
            resolution_cache.save(Path(session.prefix), resolution)
    except Failure as failure:
        # Stored without the package: the next run, too, ends well if it cannot be obtained.
        resolution_cache.save(Path(session.prefix), first.resolution)
        what = failure.what.partition("\n")[0]
        hint = failure.hint or "the same command continues with it"
        session.listener(Note(text=f"{OPTIONAL} is not there yet: {what}; {hint}"))
        outcome = first
    return msgspec.structs.replace(outcome, nothing_to_do=False)


def _environment(session: Session, resolution: Resolution) -> Outcome:
    """Bring an environment up. If its optional package does not work, try the next candidate."""
    outcome, reason = _attempt(session, resolution)
    while reason:
        resolution = optional.without_candidate(session, outcome.resolution, reason)
        outcome, reason = _attempt(session, resolution)
    return outcome


def _attempt(session: Session, resolution: Resolution) -> tuple[Outcome, str]:
    """Bring an environment up; return the reason against its optional package, or ""."""
    # Asked before the build, which may make this environment current.
    only_adds = optional.only_adds(session, resolution)
    try:
        outcome = _stages(session, resolution, only_adds=only_adds)
    except StepFailed as failure:
        # Only a failure of the optional step itself speaks against the package.
        if failure.step != optional.step().number or not resolution.lock.optional:
            raise
        return _failed(resolution, failure), failure.reason
    return outcome, optional.reason_against(outcome, only_adds=only_adds)


def _stages(session: Session, resolution: Resolution, *, only_adds: bool) -> Outcome:
    """Build, check, compare and switch; end early where a stage decides."""
    outcome = build.build(session, resolution)
    if outcome.nothing_to_do:
        switch.tidy(session, outcome)
        return outcome
    if not outcome.built.complete:
        return outcome
    # An environment that was found worse before is not checked again to say the same.
    if stored := check.stored(outcome):
        compared = compare.compare(session, stored, is_stored=True)
        if compared.regressions:
            return compared
    if outcome.built.is_unchanged:
        session.listener(Note(text=_CHECKED_AGAIN))
    outcome = check.check(session, outcome)
    if outcome.verdict == "verified":
        outcome = compare.compare(session, outcome)
    return switch.switch(session, outcome, only_adds=only_adds)


@contextlib.contextmanager
def _listening(session: Session, resolution: Resolution) -> Iterator[Session]:
    """Yield the session with a listener; report a failure to programs and in the output files."""
    with progress.listening(session.options) as listener:
        session = msgspec.structs.replace(session, listener=listener)
        try:
            yield session
        except Failure as failure:
            # A refusal before any step, such as a wrong option, is no run to report.
            if listener.results or isinstance(failure, StepFailed):
                report = run_report.report(
                    session, _failed(resolution, failure, tuple(listener.results))
                )
                outputs.everywhere(report, session)
                announce.tell_programs(session, report)
            raise
        except KeyboardInterrupt:
            interrupted = Interrupted("interrupted", hint=_RESUME)
            ended = _failed(resolution, interrupted, tuple(listener.results))
            outputs.in_logs(run_report.report(session, ended), session)
            raise interrupted from None


def _failed(
    resolution: Resolution, failure: Failure, steps: tuple[StepResult, ...] = ()
) -> Outcome:
    return Outcome(
        resolution=resolution,
        built=Built(generation="", steps=()),
        steps=steps,
        exit_code=failure.exit_code,
    )


def _all_steps(session: Session, outcome: Outcome) -> Outcome:
    """Add the steps of candidates, and a failed optional step, to those of the environment."""
    known = {result.number: result for result in outcome.steps}
    others = {
        result.number: result
        for result in session.listener.results
        if result.number not in known or result.outcome == "failed"
    }
    if not others:
        return outcome
    steps = known | others
    return msgspec.structs.replace(
        outcome, steps=tuple(steps[number] for number in sorted(steps)), nothing_to_do=False
    )
