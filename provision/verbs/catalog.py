"""`catalog show`, `check` and `add`: shows the catalogue and its age, and adds published wheels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.catalog import commands, show
from provision.display import terminal
from provision.errors import DONE, WrongSetting
from provision.session import inputs

if TYPE_CHECKING:
    import argparse

    from provision.settings import Settings


def run(options: argparse.Namespace) -> int:
    settings = inputs.settings(options)
    actions = {"show": commands.show, "check": commands.check, "add": commands.add}
    result = actions[options.action](
        options.what, lambda: _index(settings), terminal.ignore if options.quiet else terminal.note
    )
    if options.json:
        terminal.document(result.data)
    else:
        for text in result.lines:
            terminal.line(text)
        for name, table in result.tables.items():
            terminal.show(show.rows_of(name, table))
    return DONE


def _index(settings: Settings) -> str:
    address = inputs.addresses(settings).get("pypi")
    if address is None:
        raise WrongSetting(
            "the catalogue is compared with PyPI, and sources.pypi is false",
            where="settings",
            hint="use --set sources.pypi=true, or the URL of a mirror",
        )
    return address
