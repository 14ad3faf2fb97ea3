"""`check`: run checks on the current environment or on any Python; `check list` describes them."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from provision.display import progress, terminal
from provision.engine import environments, launch_checks, locks, promised_checks, verified
from provision.engine.launch_checks import CheckDescription
from provision.errors import CHECK_FAILED, DONE, WrongUsage, nearest
from provision.plan import serve
from provision.report import as_text
from provision.report._model import Report
from provision.session import foreign_python, inputs, outputs, request, run_report
from provision.session._model import Session


def run(options: argparse.Namespace) -> int:
    known = launch_checks.discover()
    if options.names == ["list"]:
        return _list(known, options)
    names = {check.name for check in known}
    if unknown := [name for name in options.names if name not in names]:
        raise WrongUsage(
            f"there is no check `{unknown[0]}`",
            hint=nearest(unknown[0], sorted(names)) or "./setup.sh check list explains all of them",
        )
    # Also with an empty value, which is a mistake: our own environment was not meant.
    if options.python is not None or options.serving is not None:
        return _show(foreign_python.run_checks(options), options)
    session = request.new_session(options)
    if environments.current_id(Path(session.prefix)) is None:
        raise WrongUsage(
            "there is no current environment to check",
            where=session.prefix,
            hint="./setup.sh makes one",
        )
    # A run that changes the environment meanwhile would make checks fail.
    with locks.hold(Path(session.prefix), "check", only_look=True):
        report = checked(session, options)
    return _show(report, options, "./setup.sh repairs what is damaged and verifies it again")


def _list(known: Sequence[CheckDescription], options: argparse.Namespace) -> int:
    if options.json:
        terminal.document([msgspec.to_builtins(check) for check in known])
        return DONE
    rows = [(check.name, f"{check.weight:<6}  {check.profile}", _claim(check)) for check in known]
    if terminal.is_shown():
        from provision.display.tables import Rows

        terminal.show(Rows(rows))
    else:  # a line for each, to search
        for name, kind, text in rows:
            terminal.line(f"{name:<26}{kind:<17}{text}")
    return DONE


def _claim(check: CheckDescription) -> str:
    needs = ", ".join(_needs(check))
    return f"{check.proves or check.problem}{f' (needs {needs})' if needs else ''}"


def _needs(check: CheckDescription) -> list[str]:
    needs = check.needs
    words = list(needs.packages)
    if needs.gpus:
        words.append(f"{needs.gpus} GPU{'s' * (needs.gpus > 1)} where vLLM is for CUDA")
    if needs.capability:
        words.append(f"compute capability {needs.capability[0]}.{needs.capability[1]}")
    words += [f"vLLM for {needs.profile}"] if needs.profile else []
    words += [f"{tools.partition(' ')[0]} on PATH" for tools in needs.tools]
    words += [f"{name} in the lock" for name in needs.distributions]
    words += ["the lock of the environment"] if needs.lock else []
    recording = "a recording of the host"
    if needs.recording:
        words.append(f"{recording}, or a plan where no GPU is" if needs.or_plan else recording)
    return words + (["--serving URL"] if needs.serving else [])


def checked(session: Session, options: argparse.Namespace) -> Report:
    """Run checks on the current environment; the caller holds the prefix's lock."""
    place = (Path(session.prefix) / environments.CURRENT).resolve()
    environment = run_report.installed(place)
    plan, lock = environment.plan, environment.lock
    names = tuple(options.names) or (
        promised_checks.choose_promised(plan, lock, options.profile)
        if options.profile
        else plan.checks
    )
    gpus = plan.gpus.used if foreign_python.has_gpus() else ()
    facts = promised_checks.record_facts(names, inputs.paths(session.settings))
    with progress.listening(options) as listener:
        tried = promised_checks.check_environment(
            plan, lock, str(place), names, Path(session.logs), listener, gpus, facts
        )
    for check in tried.checks:
        if check.name == serve.COMPILED:
            verified.note_served_compiled(place, passed=check.outcome == "pass")
    report = run_report.of_checks(session, tried, names, gpus, facts, environment)
    code = report.exit_code
    whole = set(plan.checks) <= set(names)
    failed = {check.name for check in report.checks if check.outcome == "fail"} & set(plan.checks)
    # A promise is broken: the next ./setup.sh verifies the environment again.
    if failed or (whole and code != DONE):
        with contextlib.suppress(OSError):  # a user who may only read cannot withdraw it
            verified.withdraw(place)
    if whole:
        outputs.everywhere(report, session)
    else:  # a part is no news of the environment as a whole
        outputs.in_logs(report, session)
    return report


def _show(report: Report, options: argparse.Namespace, hint: str = "") -> int:
    if options.stream:
        options.stream.report = report
    elif options.json:
        terminal.document(report)
    else:
        part = f": {report.part}" if report.part else ""
        terminal.line(f"{report.verdict} (exit code {report.exit_code}){part}")
        if not options.quiet and (text := as_text.failures(report, terminal.columns(sys.stdout))):
            terminal.write(text)
        if report.exit_code == CHECK_FAILED and hint:
            terminal.note(hint)
    return report.exit_code
