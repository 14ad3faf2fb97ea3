"""`plan`: what would be installed on this host, or on a described one, and why."""

from __future__ import annotations

from pathlib import Path

from provision import terminal
from provision.catalog import rows
from provision.engine import kept
from provision.errors import DONE, UNSUPPORTED, IncompleteHost, WrongSetting
from provision.plan._model import Unsupported
from provision.plan.make import make
from provision.verbs import _given

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from provision.host._model import Host
    from provision.settings import Settings


def run(options: argparse.Namespace) -> int:
    settings = _given.settings(options)
    found = _host(options, settings)
    try:
        known = kept.catalogue(Path(_given.checkout(), settings.prefix), rows.load())
        made = make(found, settings, known)
    except IncompleteHost as failure:
        failure.where = _given.called(options)
        raise
    except WrongSetting as failure:  # a wish that only the host shows to be wrong begins with its key
        failure.where = failure.where or _given.place_of(failure.what.partition(":")[0], options)
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
        return _given.described(options)
    from provision.host import record
    from provision.host._model import Host

    taken = record.record(network=True, paths=_given.paths(settings), sources=_given.addresses(settings))
    return Host(taken.readings)
