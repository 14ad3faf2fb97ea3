"""A recording for a person: every fact by its title, what is missing and why, and where sources disagree."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from provision.host._model import Host, Recording
from provision.host.record import discover


def shown(recording: Recording) -> RenderableType:
    """A table of facts, and the warnings below it."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    host = Host(recording.readings)
    warnings: list[str] = []
    for fact in sorted(discover(), key=lambda fact: fact.title.lower()):
        missing = host.missing(fact)
        if missing:
            table.add_row(fact.title, Text(_why(missing.why, missing.detail), style="dim"))
        else:
            table.add_row(fact.title, Text("\n".join(_lines(msgspec.to_builtins(host.value(fact))))))
            warnings += host.warnings(fact)
    return Group(table, *(Text(f"warning: {warning}", style="yellow") for warning in warnings))


def _why(why: str, detail: str) -> str:
    return f"{why}: {detail}" if detail else why


def _lines(value: Any) -> list[str]:  # noqa: ANN401 - facts have many shapes
    """A value in few lines: an entry a line for a list, fields in one line for a struct."""
    if isinstance(value, dict):
        return [_in_words(value)]
    if isinstance(value, (list, tuple)):
        return [_in_words(item) for item in value] or ["none"]
    return [_in_words(value)]


def _in_words(value: Any) -> str:  # noqa: ANN401 - as above
    if isinstance(value, dict):
        said = (
            f"{key.replace('_', ' ')} {_in_words(one)}"
            for key, one in value.items()
            if one not in (None, [], (), {}, "")
        )
        return ", ".join(said) or "nothing"
    if isinstance(value, (list, tuple)):
        return " ".join(_in_words(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
