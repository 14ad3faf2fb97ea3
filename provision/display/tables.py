"""Rows for a screen: cells side by side, or the last cell below the others where they are long."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

_LEAST = 40  # columns for the last cell; with fewer it would hold single words, and goes below
_GAP = 2

Row = tuple[str, ...]


class Rows:
    """Rows of a label, values that are never wrapped, and a text that may be long."""

    def __init__(
        self, rows: Iterable[Row], *, value_style: str = "bold", least: int = _LEAST
    ) -> None:
        self.rows = list(rows)
        self._value_style, self._least = value_style, least

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # One long name, such as that of a wheel, must not make the texts of all rows narrow.
        room = options.max_width - self._least
        short = [row for row in self.rows if _width(map(cell_len, row[:-1])) <= room]
        widths = [
            max(map(cell_len, column)) for column in zip(*(row[:-1] for row in short), strict=True)
        ]
        beside = set(short) if _width(widths) <= room else set()
        for fits, group in groupby(self.rows, beside.__contains__):
            rows = list(group)
            yield self._beside(rows, widths) if fits else self._stacked(rows)

    def _beside(self, rows: Iterable[Row], widths: Sequence[int]) -> Table:
        table = Table(box=None, show_header=False, padding=(0, _GAP, 0, 0), pad_edge=False)
        for i, width in enumerate(widths):
            table.add_column(style=self._value_style if i else "dim", no_wrap=True, min_width=width)
        table.add_column(overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        return table

    def _stacked(self, rows: Iterable[Row]) -> Table:
        grid = Table.grid()
        for row in rows:
            *cells, last = row
            styled = zip(cells, ("dim", self._value_style), strict=False)
            head = Text(" " * _GAP).join(Text(cell, style=style) for cell, style in styled if cell)
            if head.plain:
                grid.add_row(head)
            grid.add_row(Padding(Text(last, overflow="fold"), (0, 0, 0, _GAP)))
        return grid


def _width(cells: Iterable[int]) -> int:
    return sum(width + _GAP for width in cells)
