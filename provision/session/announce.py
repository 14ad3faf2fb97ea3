"""Tell programs and a person how a run ended, after its output files are written."""

from __future__ import annotations

import sys
from pathlib import Path

from provision.display import terminal
from provision.engine import environments, verified
from provision.errors import DONE
from provision.plan import serve
from provision.report import as_text
from provision.report._model import Report
from provision.session import compare, formats, outputs, run_report
from provision.session._model import Outcome, Session


def announce(
    session: Session, outcome: Outcome, *, is_last: bool = True, is_news: bool = True
) -> None:
    """Write the output files of a run that did something, and say how it ended.

    A program gets its one document with the last outcome; a person reads only what is news.
    """
    options = session.options
    # The most frequent run of all needs no report, which takes a tenth of its time.
    if outcome.nothing_to_do and not (options.json or options.stream):
        if is_news:
            terminal.line(f"nothing to do: {outcome.place.name} is current, intact and verified")
            _how_to_serve(session, outcome)
        return
    report = run_report.report(session, outcome)
    if not outcome.nothing_to_do:
        outputs.everywhere(report, session)
    tell_programs(session, report, is_last=is_last)
    if is_news and not (session.options.json or session.options.events):
        _tell_a_person(session, outcome, report)


def tell_programs(session: Session, report: Report, *, is_last: bool = True) -> None:
    """Hand the report to the stream of events, or print it as the one JSON document."""
    if stream := session.options.stream:
        stream.report = report
        stream.problem, stream.hint = compare.problem(report), compare.hint(report)
    if session.options.json and is_last:
        terminal.document(report)


def _tell_a_person(session: Session, outcome: Outcome, report: Report) -> None:
    quiet = session.options.quiet
    if not quiet:
        terminal.write(as_text.brief(report, terminal.columns(sys.stdout)))
        if (page := Path(session.logs) / formats.PAGE).exists():
            terminal.line(f"report: {page}\n")
    in_use = environments.current_id(Path(session.prefix))
    if outcome.earlier:
        terminal.write(compare.describe(report, outcome, quiet=quiet))
    elif outcome.exit_code != DONE and in_use not in (None, report.generation):
        terminal.line(f"in use is still {in_use}; the same command resumes")
    _how_to_serve(session, outcome)


def _how_to_serve(session: Session, outcome: Outcome) -> None:
    if outcome.exit_code == DONE:
        plan = outcome.resolution.plan
        terminal.line(f"serve a model: {serve.command(plan, session.prefix)}")
        # Another host has yet to try anything.
        if not session.target and not verified.has_served_compiled(outcome.place):
            terminal.write(f"{text}\n" if (text := serve.untried(plan)) else "")
