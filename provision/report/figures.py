"""Figures as a page shows them: attention as charts, pairs as a matrix, the rest as tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from provision.engine.check_results import Figure
from provision.report import charts, short

_ATTENTION: Final[tuple[tuple[str, str, Literal["linear", "log"]], ...]] = (
    ("attention", "Speed", "linear"),
    ("attention time", "Time", "log"),
    ("attention memory", "Memory", "log"),
)
_NAMES: Final = frozenset(name for name, _, _ in _ATTENTION)
_DIGITS: Final = 18  # of a token count; Python refuses to read a number of thousands of digits
_SLOW: Final = 0.8  # of the median of all pairs


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one name, unit and method."""

    check: str
    name: str
    unit: str
    better: str
    method: str
    columns: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], str, str, int], ...]  # subject, value, spread, repeats


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One pair of a matrix."""

    value: str
    link: str
    is_slow: bool


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """Figures from each end to each end; a pair is slow by comparison with `median`."""

    check: str
    name: str
    unit: str
    method: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    median: str
    has_slow: bool


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """One drawing, its numbers (a row for each backend), and the backends without a number."""

    title: str
    unit: str
    drawing: charts.Drawing | None
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]  # backend; value and spread
    without: tuple[str, ...]


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """The charts of one GPU, or of the CPU."""

    name: str
    charts: tuple[Chart, ...]


class AttentionCharts(msgspec.Struct, frozen=True, kw_only=True):
    """The charts of every device and what their lines stand for."""

    legend: tuple[tuple[str, int], ...]  # name and kind of line
    devices: tuple[Device, ...]
    methods: tuple[str, ...]


def attention(figures: Iterable[Figure]) -> AttentionCharts | None:
    """Return charts of all devices on the same scales, so that they can be compared by eye."""
    figures = [figure for figure in figures if _is_attention(figure)]
    if not figures:
        return None
    ways = [*dict.fromkeys(figure.of["way"] for figure in figures)]
    devices = dict.fromkeys(figure.of["on"] for figure in figures)
    return AttentionCharts(
        legend=tuple((way, kind % charts.KINDS) for kind, way in enumerate(ways)),
        devices=tuple(Device(name=on, charts=_charts(on, figures, ways)) for on in devices),
        methods=tuple(dict.fromkeys(figure.method for figure in figures if figure.method)),
    )


def _is_attention(figure: Figure) -> bool:
    tokens = figure.of.get("tokens", "")
    is_count = (
        tokens.isascii() and tokens.isdecimal() and len(tokens) <= _DIGITS and int(tokens) > 0
    )
    return figure.name in _NAMES and {"on", "way"} <= figure.of.keys() and is_count


def _charts(on: str, figures: Sequence[Figure], ways: Sequence[str]) -> tuple[Chart, ...]:
    x = charts.axis([float(figure.of["tokens"]) for figure in figures], "tokens", "log")
    drawn = []
    for name, title, scale in _ATTENTION:
        named = [figure for figure in figures if figure.name == name]
        for pass_ in dict.fromkeys(figure.of.get("pass", "") for figure in named):
            alike = [figure for figure in named if figure.of.get("pass", "") == pass_]
            values = [value for figure in alike for value in _range(figure)]
            y = charts.axis(values, alike[0].unit, scale)
            if here := [figure for figure in alike if figure.of["on"] == on]:
                drawn.append(_chart(f"{title}, {pass_}" if pass_ else title, here, ways, x, y))
    return tuple(drawn)


def _chart(
    title: str, figures: Sequence[Figure], ways: Sequence[str], x: charts.Axis, y: charts.Axis
) -> Chart:
    lengths = sorted({int(figure.of["tokens"]) for figure in figures})
    lines, rows, without = [], [], []
    for kind, way in enumerate(ways):
        by_length = {int(one.of["tokens"]): one for one in figures if one.of["way"] == way}
        points = tuple(filter(None, (_point(at, one) for at, one in by_length.items())))
        lines.append(charts.Series(name=way, kind=kind, points=points))
        without += [f"{way} at {reason}" for reason in _without(by_length)]
        if by_length:
            rows.append((way, tuple(_cell(by_length.get(at)) for at in lengths)))
    full_title = (
        f"{figures[0].of['on']}: {title.lower()} of attention in {y.unit} by context length"
    )
    return Chart(
        title=title,
        unit=y.unit,
        drawing=charts.draw(full_title, lines, x, y),
        columns=tuple(charts.tokens(at) for at in lengths),
        rows=tuple(rows),
        without=tuple(without),
    )


def _range(figure: Figure) -> tuple[float, ...]:
    """Return the value and both ends of the middle 80 % of its samples; a word has none."""
    if isinstance(figure.value, str):
        return ()
    if len(figure.samples) < 2:
        return (figure.value, figure.value, figure.value)
    tenths = statistics.quantiles(figure.samples, n=10, method="inclusive")
    return (figure.value, tenths[0], tenths[-1])


def _point(tokens: int, figure: Figure) -> charts.Point | None:
    if not (values := _range(figure)):
        return None
    y, low, high = values
    return charts.Point(x=float(tokens), y=y, low=low, high=high, spread=short.spread(figure))


def _without(by_length: dict[int, Figure]) -> list[str]:
    """Return each word that stands for a number, after the lengths that have it."""
    lengths: dict[str, list[str]] = {}
    for at, figure in by_length.items():
        if isinstance(figure.value, str):
            lengths.setdefault(figure.value, []).append(charts.tokens(at))
    return [f"{', '.join(names)}: {word}" for word, names in lengths.items()]


def _cell(figure: Figure | None) -> tuple[str, str]:
    return (short.value(figure), short.spread(figure)) if figure else ("", "")


def matrices(figures: Iterable[Figure]) -> list[Matrix]:
    """Return a matrix for each kind of figure that goes from one end to another."""
    return [_matrix(alike) for alike in _by_kind(figure for figure in figures if _is_pair(figure))]


def _is_pair(figure: Figure) -> bool:
    return {"from", "to"} <= figure.of.keys()


def _matrix(figures: Sequence[Figure]) -> Matrix:
    sources = [figure.of["from"] for figure in figures]
    ends = [*dict.fromkeys([*sources, *(figure.of["to"] for figure in figures)])]
    values = [figure.value for figure in figures if not isinstance(figure.value, str)]
    median = statistics.median(values) if values else 0.0
    cells = {
        (figure.of["from"], figure.of["to"]): Cell(
            value=short.value(figure),
            link=figure.of.get("link", ""),
            is_slow=not isinstance(figure.value, str)
            and figure.better == "higher"
            and figure.value < _SLOW * median,
        )
        for figure in figures
    }
    return Matrix(
        check=figures[0].check,
        name=figures[0].name,
        unit=figures[0].unit,
        method=figures[0].method,
        columns=tuple(ends),
        rows=tuple((start, tuple(cells.get((start, end)) for end in ends)) for start in ends),
        median=short.number(median),
        has_slow=any(cell.is_slow for cell in cells.values()),
    )


def tables(figures: Iterable[Figure]) -> list[Table]:
    """Return all other figures, a table for each name, unit and method."""
    others = (
        figure
        for figure in figures
        if not (_is_pair(figure) or _is_attention(figure) or _is_word(figure))
    )
    return [_table(alike) for alike in _by_kind(others)]


def words(figures: Iterable[Figure]) -> list[tuple[str, str, str, str]]:
    """Return the figures that are words: name, subject, check, word."""
    return [
        (figure.name, ", ".join(figure.of.values()), figure.check, short.value(figure))
        for figure in figures
        if _is_word(figure) and not _is_pair(figure)
    ]


def _is_word(figure: Figure) -> bool:
    return figure.better == "same" and isinstance(figure.value, str) and not _is_attention(figure)


def _table(figures: Sequence[Figure]) -> Table:
    columns = tuple(dict.fromkeys(key for figure in figures for key in figure.of))
    first = figures[0]
    return Table(
        check=first.check,
        name=first.name,
        unit=first.unit,
        better=first.better,
        method=first.method,
        columns=columns,
        rows=tuple(
            (
                tuple(figure.of.get(key, "") for key in columns),
                short.value(figure),
                short.spread(figure),
                figure.repeats,
            )
            for figure in figures
        ),
    )


def _by_kind(figures: Iterable[Figure]) -> list[list[Figure]]:
    groups: dict[tuple[str, ...], list[Figure]] = {}
    for figure in figures:
        kind = (figure.check, figure.name, figure.unit, figure.method, figure.better)
        groups.setdefault(kind, []).append(figure)
    return [*groups.values()]
