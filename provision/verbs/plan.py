"""`plan`: what would be installed on this host, or on a described one, and why."""

from __future__ import annotations

import sys

from provision import terminal
from provision.catalog import rows
from provision.errors import DONE, UNSUPPORTED, IncompleteHost, UnreadableInput, WrongSetting
from provision.plan._model import Unsupported
from provision.plan.make import make
from provision.verbs import _given

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from provision.host._model import Host
    from provision.settings import Settings

_MOST = 16 * 1024 * 1024  # of what is read from standard input


def run(options: argparse.Namespace) -> int:
    settings = _given.settings(options)
    found = _host(options, settings)
    try:
        made = make(found, settings, rows.load())
    except IncompleteHost as failure:
        failure.where = _called(options)
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
    if options.host is None:
        from provision.host import record
        from provision.host._model import Host

        taken = record.record(network=True, paths=_given.paths(settings), sources=_given.addresses(settings))
        return Host(taken.readings)
    from provision.doors import files
    from provision.host import from_text

    text = _standard_input() if options.host == "-" else files.read_text(options.host)
    return from_text.parse(text, _called(options))


def _called(options: argparse.Namespace) -> str:
    """What messages call the host that a plan is for."""
    return {None: "this host", "-": "standard input"}.get(options.host) or str(options.host)


def _standard_input() -> str:
    content: bytes = sys.stdin.buffer.read(_MOST + 1) if sys.stdin else b""
    if len(content) > _MOST:
        raise UnreadableInput("is larger than 16 MiB", where="standard input", hint="give the right file")
    from provision.doors import files

    return files.as_text(content)
