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
    from provision.plan._model import Plan
    from provision.session._model import Session
    from provision.settings import Settings


def run(options: argparse.Namespace) -> int:
    settings = inputs.settings(options)
    if options.host is None:
        return _for_this_host(options)
    return _show(_planned(options, settings, inputs.described_host(options)), options)


def _for_this_host(options: argparse.Namespace) -> int:
    """Plan with what answers now, and measure what the installation will need."""
    from provision.session import preflight, request, resolve, silence

    session = request.new_session(options)
    host = resolve.here(session)
    if failure := silence.needed(session, host):
        if options.json:
            terminal.document(silence.document(failure))
        raise failure
    plan = _planned(options, session.settings, host)
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


def _versions(plan: Plan) -> dict[str, str | None]:
    return {name: package.version if package else None for name, package in plan.packages.items()}


def _planned(options: argparse.Namespace, settings: Settings, host: Host) -> Plan | Unsupported:
    try:
        return planning.make_plan(
            host, settings, planning.catalogue(os.path.join(inputs.checkout(), settings.prefix))
        )
    except IncompleteHost as failure:
        failure.where = inputs.host_name(options)
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
            terminal.show(explain.render(plan))
    return UNSUPPORTED if isinstance(plan, Unsupported) else DONE
