"""Rows for a screen: cells side by side, or the last cell below the others on a narrow screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderResult

_NARROW = 70  # columns; on a narrower screen the last column would hold single words


class Rows:
    """Rows of a label, values that are never wrapped, and a text that may be long."""

    def __init__(
        self,
        rows: Iterable[tuple[str, ...]],
        *,
        value_style: str = "bold",
        narrow: int = _NARROW,
    ) -> None:
        self.rows = list(rows)
        self._value_style, self._narrow = value_style, narrow

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._beside() if options.max_width >= self._narrow else self._stacked()

    def _beside(self) -> Table:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(style="dim", no_wrap=True)
        for _ in self.rows[0][1:-1] if self.rows else ():
            table.add_column(style=self._value_style, no_wrap=True)
        table.add_column(overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table

    def _stacked(self) -> Table:
        grid = Table.grid()
        for row in self.rows:
            *cells, last = row
            styled = zip(cells, ("dim", self._value_style), strict=False)
            head = Text("  ").join(Text(cell, style=style) for cell, style in styled if cell)
            if head.plain:
                grid.add_row(head)
            grid.add_row(Padding(Text(last, overflow="fold"), (0, 0, 0, 2)))
        return grid
