"""`plan`: shows what would be installed on this host or on a described one, and why."""

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
    from provision.settings import Settings


def run(options: argparse.Namespace) -> int:
    settings = inputs.settings(options)
    host = _host(options, settings)
    try:
        plan = planning.make_plan(
            host, settings, planning.catalogue(os.path.join(inputs.checkout(), settings.prefix))
        )
    except IncompleteHost as failure:
        failure.where = inputs.host_name(options)
        raise
    except WrongSetting as failure:
        # The planner reports a setting that does not suit the host as `key: reason`.
        failure.where = failure.where or inputs.origin_of(failure.what.partition(":")[0], options)
        raise
    if options.json:
        terminal.document(plan)
    else:
        from provision.plan import explain

        if options.quiet:
            terminal.line(explain.in_one_line(plan))
        else:
            terminal.show(explain.render(plan))
    return UNSUPPORTED if isinstance(plan, Unsupported) else DONE


def _host(options: argparse.Namespace, settings: Settings) -> Host:
    if options.host is not None:
        return inputs.described_host(options)
    from provision.host import record
    from provision.host._model import Host

    return Host(
        record.record(
            network=True, paths=inputs.paths(settings), sources=inputs.addresses(settings)
        ).readings
    )
