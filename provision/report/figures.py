"""Figures in the shapes that a reader looks for: attention over lengths, pairs as a matrix, the others as tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from provision.engine.check_results import Figure
from provision.report import charts, short

_ATTENTION: tuple[tuple[str, str, Literal["linear", "log"]], ...] = (
    ("attention", "Speed", "linear"),
    ("attention time", "Time", "log"),
    ("attention memory", "Memory", "log"),
)
_NAMES = frozenset(name for name, _, _ in _ATTENTION)
_DIGITS = 18  # of a count of tokens; with thousands of them it is no number to Python
_SLOW = 0.8  # of the median of all pairs


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one kind; `method` is that of all."""

    check: str
    name: str
    unit: str
    better: str
    method: str
    columns: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], str, str, int], ...]  # what it is of, value, spread, repeats


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One pair."""

    value: str
    link: str
    is_slow: bool


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """Figures from each to each; `median` is what the slow ones are told by."""

    check: str
    name: str
    unit: str
    method: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    median: str
    has_slow: bool


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """One drawing, its numbers (a row a way), and the ways that gave none."""

    title: str
    unit: str
    svg: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    without: tuple[str, ...]


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """Attention on one GPU, or the CPU."""

    name: str
    charts: tuple[Chart, ...]


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """Attention everywhere, with what each line means."""

    legend: tuple[tuple[str, str], ...]  # name and sample
    devices: tuple[Device, ...]
    methods: tuple[str, ...]


def attention(figures: Iterable[Figure]) -> Attention | None:
    """Charts of all devices on the same scales, so that an eye can compare them."""
    ours = [figure for figure in figures if _is_attention(figure)]
    if not ours:
        return None
    ways = [*dict.fromkeys(figure.of["way"] for figure in ours)]
    x = charts.axis([float(figure.of["tokens"]) for figure in ours], "tokens", "log")
    devices = []
    for on in dict.fromkeys(figure.of["on"] for figure in ours):
        drawn = []
        for name, title, scale in _ATTENTION:
            alike = [figure for figure in ours if figure.name == name]
            for pass_ in dict.fromkeys(figure.of.get("pass", "") for figure in alike):
                same = [figure for figure in alike if figure.of.get("pass", "") == pass_]
                y = charts.axis([one.value for one in same if not isinstance(one.value, str)], same[0].unit, scale)
                if here := [figure for figure in same if figure.of["on"] == on]:
                    drawn.append(_chart(f"{title}, {pass_}" if pass_ else title, on, here, ways, x, y))
        devices.append(Device(name=on, charts=tuple(drawn)))
    methods = tuple(dict.fromkeys(figure.method for figure in ours if figure.method))
    legend = tuple((way, charts.key(kind)) for kind, way in enumerate(ways))
    return Attention(legend=legend, devices=tuple(devices), methods=methods)


def _is_attention(figure: Figure) -> bool:
    of = figure.of
    tokens = of.get("tokens", "")
    is_count = tokens.isascii() and tokens.isdecimal() and len(tokens) <= _DIGITS and int(tokens) > 0
    return figure.name in _NAMES and {"on", "way"} <= of.keys() and is_count


def _chart(
    title: str, on: str, figures: Sequence[Figure], ways: Sequence[str], x: charts.Axis, y: charts.Axis
) -> Chart:
    lengths = sorted({int(figure.of["tokens"]) for figure in figures})
    told = {(figure.of["way"], int(figure.of["tokens"])): figure for figure in figures}
    lines, rows, without = [], [], []
    for kind, way in enumerate(ways):
        mine = {length: told[way, length] for length in lengths if (way, length) in told}
        points = tuple((float(at), one.value) for at, one in mine.items() if not isinstance(one.value, str))
        lines.append(charts.Line(name=way, kind=kind, points=points))
        words = {
            one.value: [a for a, o in mine.items() if o.value == one.value]
            for one in mine.values()
            if isinstance(one.value, str)
        }
        without += [f"{way} at {', '.join(charts.tokens(at) for at in where)}: {word}" for word, where in words.items()]
        if mine:
            rows.append((way, tuple(short.value(mine[at]) if at in mine else "" for at in lengths)))
    return Chart(
        title=title,
        unit=y.unit,
        svg=charts.drawn(f"{on}: {title.lower()} of attention in {y.unit} over tokens", lines, x, y),
        columns=tuple(charts.tokens(at) for at in lengths),
        rows=tuple(rows),
        without=tuple(without),
    )


def matrices(figures: Iterable[Figure]) -> list[Matrix]:
    """Whatever goes from one to another."""
    return [_matrix(alike) for alike in _alike(figure for figure in figures if _is_pair(figure))]


def _is_pair(figure: Figure) -> bool:
    return {"from", "to"} <= figure.of.keys()


def _matrix(figures: Sequence[Figure]) -> Matrix:
    ends = [*dict.fromkeys([*(one.of["from"] for one in figures), *(one.of["to"] for one in figures)])]
    values = [one.value for one in figures if not isinstance(one.value, str)]
    median = statistics.median(values) if values else 0.0
    cells = {
        (one.of["from"], one.of["to"]): Cell(
            value=short.value(one),
            link=one.of.get("link", ""),
            is_slow=not isinstance(one.value, str) and one.better == "higher" and one.value < _SLOW * median,
        )
        for one in figures
    }
    return Matrix(
        check=figures[0].check,
        name=figures[0].name,
        unit=figures[0].unit,
        method=figures[0].method,
        columns=tuple(ends),
        rows=tuple((a, tuple(cells.get((a, b)) for b in ends)) for a in ends),
        median=short.number(median),
        has_slow=any(cell.is_slow for cell in cells.values()),
    )


def tables(figures: Iterable[Figure]) -> list[Table]:
    """All others, a table for what was measured in one way."""
    others = (one for one in figures if not _is_pair(one) and not _is_attention(one) and not _is_word(one))
    return [_table(alike) for alike in _alike(others)]


def words(figures: Iterable[Figure]) -> list[tuple[str, str, str, str]]:
    """What was chosen or said, and no number: the figure, of what, whose, and the word."""
    return [
        (one.name, ", ".join(one.of.values()), one.check, short.value(one))
        for one in figures
        if _is_word(one) and not _is_pair(one)
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
            (tuple(one.of.get(key, "") for key in columns), short.value(one), short.spread(one), one.repeats)
            for one in figures
        ),
    )


def _alike(figures: Iterable[Figure]) -> list[list[Figure]]:
    groups: dict[tuple[str, ...], list[Figure]] = {}
    for one in figures:
        groups.setdefault((one.check, one.name, one.unit, one.method, one.better), []).append(one)
    return [*groups.values()]
