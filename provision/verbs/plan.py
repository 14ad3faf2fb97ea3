"""`plan`: what would be installed on this host, or on a described one, and why."""

from __future__ import annotations

from pathlib import Path

from provision.display import terminal
from provision.errors import DONE, UNSUPPORTED, IncompleteHost, WrongSetting
from provision.plan._model import Unsupported
from provision.session import inputs, planning

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from provision.host._model import Host
    from provision.settings import Settings


def run(options: argparse.Namespace) -> int:
    settings = inputs.settings(options)
    found = _host(options, settings)
    try:
        known = planning.catalogue(Path(inputs.checkout(), settings.prefix))
        made = planning.make_plan(found, settings, known)
    except IncompleteHost as failure:
        failure.where = inputs.called(options)
        raise
    except WrongSetting as failure:  # a wish that only the host shows to be wrong begins with its key
        failure.where = failure.where or inputs.place_of(failure.what.partition(":")[0], options)
        raise
    if options.json:
        terminal.document(made)
    elif options.quiet:
        from provision.plan import explain

        terminal.line(explain.in_one_line(made))
    else:
        from provision.plan import explain

        terminal.show(explain.explained(made))
    return UNSUPPORTED if isinstance(made, Unsupported) else DONE


def _host(options: argparse.Namespace, settings: Settings) -> Host:
    if options.host is not None:
        return inputs.described(options)
    from provision.host import record
    from provision.host._model import Host

    taken = record.record(network=True, paths=inputs.paths(settings), sources=inputs.addresses(settings))
    return Host(taken.readings)
