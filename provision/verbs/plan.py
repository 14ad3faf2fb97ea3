"""`plan`: show what would be installed on this host or on a described one, and why."""

from __future__ import annotations

import os

from provision.display import terminal
from provision.errors import DONE, UNSUPPORTED, IncompleteHost, WrongSetting
from provision.plan._model import Unsupported
from provision.session import inputs, planning

TYPE_CHECKING = False  # `typing` is not imported otherwise
if TYPE_CHECKING:
    import argparse

    from provision.host._model import Host
    from provision.host.facts_read import Assumption
    from provision.plan._model import Plan
    from provision.session._model import Session
    from provision.settings import Settings


def run(options: argparse.Namespace) -> int:
    settings = inputs.settings(options)
    if options.host is None:
        return _for_this_host(options)
    return _for_described_host(options, settings)


def _for_described_host(options: argparse.Namespace, settings: Settings) -> int:
    """Plan for the host of a text; assume what it leaves open, unless --strict forbids that."""
    from provision.host import assume, from_text

    told = from_text.read(inputs.host_text(options.host), inputs.host_name(options.host))
    host, assumed = assume.complete(told.host, settings.python)
    if assumed and options.strict:
        raise inputs.left_open(told, assumed, options)
    try:
        plan = _planned(options, settings, host)
    except IncompleteHost as failure:
        from provision.host import what_was_read  # half as long to load as the planner

        if lines := [fact.add for fact in what_was_read.missing(told) if fact.decisive]:
            failure.hint = inputs.to_add(lines)
        raise
    return _show(_with_facts(plan, told.host, assumed), options)


def _with_facts(
    plan: Plan | Unsupported, host: Host, assumed: tuple[Assumption, ...] = ()
) -> Plan | Unsupported:
    """Return the document with the facts that it rests on."""
    from msgspec.structs import replace

    from provision.host import facts_read

    read = facts_read.of_host(host)
    return replace(plan, assumptions=assumed, installed=read.packages or {}, read=read)


def _for_this_host(options: argparse.Namespace) -> int:
    """Plan with what answers now, and measure what the installation will need."""
    from provision.session import preflight, request, resolve, silence

    session = request.new_session(options)
    host = resolve.here(session)
    if failure := silence.needed(session, host):
        if options.json:
            terminal.document(silence.document(failure))
        raise failure
    plan = _with_facts(_planned(options, session.settings, host), host)
    if isinstance(plan, Unsupported):
        return _show(plan, options)
    missed = silence.missed(session, host)
    code = _show(preflight.with_warnings(plan, session, missed), options)
    if not (options.json or options.quiet):
        _compare_with_current(session, plan)
    return code


def _compare_with_current(session: Session, plan: Plan) -> None:
    """Say if the environment in use has the planned packages already."""
    from pathlib import Path

    from provision.session import run_report

    current = run_report.in_use(Path(session.prefix))
    if current and _versions(current.plan) == _versions(plan):
        terminal.line(f"\nin use: {current.generation} has these versions already")


def _beside(plan: Plan | Unsupported, options: argparse.Namespace) -> tuple[str, ...]:
    """Compare with what a described host has; this host's own environment is compared apart."""
    from provision.plan import beside_installed

    if options.host is None or isinstance(plan, Unsupported) or not plan.installed or not plan.read:
        return ()
    from provision.catalog import rows

    return tuple(beside_installed.compare(plan, plan.read, rows.load()))


def _versions(plan: Plan) -> dict[str, str | None]:
    return {name: package.version if package else None for name, package in plan.packages.items()}


def _planned(options: argparse.Namespace, settings: Settings, host: Host) -> Plan | Unsupported:
    try:
        return planning.make_plan(
            host, settings, planning.catalogue(os.path.join(inputs.checkout(), settings.prefix))
        )
    except IncompleteHost as failure:
        failure.where = inputs.host_name(options.host)
        raise
    except WrongSetting as failure:
        # The planner reports a setting that does not suit the host as `key: reason`.
        failure.where = failure.where or inputs.origin_of(failure.what.partition(":")[0], options)
        raise


def _show(plan: Plan | Unsupported, options: argparse.Namespace) -> int:
    if options.json:
        terminal.document(plan)
    else:
        from provision.plan import explain

        if options.quiet:
            terminal.line(explain.in_one_line(plan))
        else:
            terminal.show(explain.render(plan, _beside(plan, options)))
    return UNSUPPORTED if isinstance(plan, Unsupported) else DONE
