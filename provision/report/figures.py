"""Figures as a page shows them: attention as charts, pairs as a matrix, the rest as tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import Final, Literal

import msgspec

from provision.report import charts, short
from provision.results import Figure

_ATTENTION: Final[tuple[tuple[str, str, Literal["linear", "log"]], ...]] = (
    ("attention", "Speed", "linear"),
    ("attention time", "Time", "log"),
    ("attention memory", "Memory", "log"),
)
_NAMES: Final = frozenset(name for name, _, _ in _ATTENTION)
_DIGITS: Final = 18  # of a token count; Python refuses to read a number of thousands of digits
_TOGETHER: Final = "All devices"
_OUTLIER: Final = 0.1  # of the median of all GPUs
_SLOW: Final = 0.8  # of the median of all pairs


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one kind, each from one end to another."""

    pairs: dict[tuple[str, str], Figure]
    ends: tuple[str, ...]
    median: float

    def is_slow(self, figure: Figure) -> bool:
        """Return whether a pair is far below the median of all pairs."""
        if isinstance(figure.value, str) or figure.better != "higher":
            return False
        return figure.value < _SLOW * self.median

    def shade(self, figure: Figure) -> int:
        """Return how far a value lies between the lowest and the highest, in per cent."""
        values = [item.value for item in self.pairs.values() if not isinstance(item.value, str)]
        if isinstance(figure.value, str) or max(values) == min(values):
            return 0
        return round(100 * (figure.value - min(values)) / (max(values) - min(values)))

    @property
    def has_slow(self) -> bool:
        return any(map(self.is_slow, self.pairs.values()))


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """One drawing, its numbers (a row for each backend), and the backends without a number."""

    title: str
    unit: str
    drawing: charts.Drawing | None
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Figure | None, ...]], ...]  # backend, figure for each column
    without: tuple[str, ...]


class AttentionCharts(msgspec.Struct, frozen=True, kw_only=True):
    """The charts of every device and what their lines stand for."""

    legend: tuple[tuple[str, int], ...]  # name and kind of line
    devices: dict[str, tuple[Chart, ...]]
    methods: tuple[str, ...]


class GpuDot(msgspec.Struct, frozen=True, kw_only=True):
    """The value of one GPU, and its place on the line of all GPUs, in per cent."""

    gpu: str
    value: float
    at: float
    text: str
    is_outlier: bool


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one kind: the keys of their subjects, and rows of dots that compare GPUs."""

    columns: tuple[str, ...]
    figures: tuple[Figure, ...]
    dots: tuple[tuple[str, list[GpuDot]], ...]


def attention(figures: Iterable[Figure]) -> AttentionCharts | None:
    """Return charts of all devices on the same scales, so that they can be compared by eye."""
    figures = [figure for figure in figures if _is_attention(figure)]
    if not figures:
        return None
    ways = [*dict.fromkeys(figure.of["way"] for figure in figures)]
    devices = [*dict.fromkeys(figure.of["on"] for figure in figures)]
    together = {_TOGETHER: _charts("", figures, ways)} if len(devices) > 1 else {}
    return AttentionCharts(
        legend=tuple((way, kind % charts.KINDS) for kind, way in enumerate(ways)),
        devices={**together, **{on: _charts(on, figures, ways) for on in devices}},
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
            # One axis for all devices, so that their charts can be compared.
            y = charts.axis(values, alike[0].unit, scale)
            full_title = f"{title}, {pass_}" if pass_ else title
            if not on:
                drawn.append(_overlaid(full_title, alike, ways, x, y))
            elif here := [figure for figure in alike if figure.of["on"] == on]:
                drawn.append(_chart(full_title, here, ways, x, y))
    return tuple(drawn)


def _overlaid(
    title: str, figures: Sequence[Figure], ways: Sequence[str], x: charts.Axis, y: charts.Axis
) -> Chart:
    """Draw the lines of all devices over one another: one that differs is seen at once."""
    lines: dict[str, list[charts.Point]] = {}
    kinds: dict[str, int] = {}
    for figure in figures:
        if isinstance(figure.value, str):
            continue
        name = f"{figure.of['way']} on {figure.of['on']}"
        kinds[name] = ways.index(figure.of["way"])
        at, value = float(figure.of["tokens"]), figure.value
        lines.setdefault(name, []).append(charts.Point(x=at, y=value, low=value, high=value))
    name = f"All devices: {title.lower()} of attention in {y.unit} by context length"
    drawing = charts.draw(name, lines, x, y, kinds)
    return Chart(title=title, unit=y.unit, drawing=drawing, columns=(), rows=(), without=())


def _chart(
    title: str, figures: Sequence[Figure], ways: Sequence[str], x: charts.Axis, y: charts.Axis
) -> Chart:
    lengths = sorted({int(figure.of["tokens"]) for figure in figures})
    lines: dict[str, list[charts.Point]] = {}
    rows, without = [], []
    for way in ways:
        by_length = {
            int(figure.of["tokens"]): figure for figure in figures if figure.of["way"] == way
        }
        lines[way] = [*filter(None, starmap(_point, by_length.items()))]
        without += [f"{way} at {reason}" for reason in _without(by_length)]
        if by_length:
            rows.append((way, tuple(map(by_length.get, lengths))))
    device = figures[0].of["on"]
    return Chart(
        title=title,
        unit=y.unit,
        drawing=charts.draw(
            f"{device}: {title.lower()} of attention in {y.unit} by context length", lines, x, y
        ),
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
    return (figure.value, *figure.middle)


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


def matrices(figures: Iterable[Figure]) -> list[Matrix]:
    """Return a matrix for each kind of figure that goes from one end to another."""
    return [_matrix(alike) for alike in _by_kind(figure for figure in figures if _is_pair(figure))]


def _is_pair(figure: Figure) -> bool:
    return {"from", "to"} <= figure.of.keys()


def _matrix(figures: Sequence[Figure]) -> Matrix:
    values = [figure.value for figure in figures if not isinstance(figure.value, str)]
    return Matrix(
        pairs={(figure.of["from"], figure.of["to"]): figure for figure in figures},
        ends=tuple(dict.fromkeys(figure.of[end] for end in ("from", "to") for figure in figures)),
        median=statistics.median(values) if values else 0.0,
    )


def tables(figures: Iterable[Figure]) -> list[Table]:
    """Return all other figures, those of one kind together."""
    return [
        Table(
            columns=tuple(dict.fromkeys(key for figure in alike for key in figure.of)),
            figures=tuple(alike),
            dots=_rows_of_dots(alike),
        )
        for alike in _by_kind(
            figure
            for figure in figures
            if not (_is_pair(figure) or _is_attention(figure) or _is_word(figure))
        )
    ]


def _rows_of_dots(table: Sequence[Figure]) -> tuple[tuple[str, list[GpuDot]], ...]:
    """Return a row of dots for each subject that was measured on several GPUs."""
    rows: dict[str, list[Figure]] = {}
    for figure in table:
        if _gpu(figure) and not isinstance(figure.value, str):
            others = [word for key, word in figure.of.items() if word != _gpu(figure)]
            rows.setdefault(", ".join(others), []).append(figure)
    return tuple((label, _dots(alike)) for label, alike in rows.items() if len(alike) > 1)


def _gpu(figure: Figure) -> str:
    return next((word for word in figure.of.values() if word.startswith("GPU ")), "")


def _dots(figures: Sequence[Figure]) -> list[GpuDot]:
    values = {_gpu(figure): float(figure.value) for figure in figures}
    median = statistics.median(values.values())
    # So wide that GPUs which differ by noise stand close together.
    low, high = min(0.8 * median, *values.values()), max(1.1 * median, *values.values())
    return [
        GpuDot(
            gpu=gpu,
            value=value,
            at=round(100 * (value - low) / (high - low), 1) if high > low else 50.0,
            text=short.number(value),
            is_outlier=abs(value - median) > _OUTLIER * abs(median),
        )
        for gpu, value in values.items()
    ]


def words(figures: Iterable[Figure]) -> list[Figure]:
    """Return the figures that are words and should stay the same."""
    return [figure for figure in figures if _is_word(figure) and not _is_pair(figure)]


def _is_word(figure: Figure) -> bool:
    return figure.better == "same" and isinstance(figure.value, str) and not _is_attention(figure)


def _by_kind(figures: Iterable[Figure]) -> list[list[Figure]]:
    groups: dict[tuple[str, ...], list[Figure]] = {}
    for figure in figures:
        kind = (figure.check, figure.name, figure.unit, figure.method, figure.better)
        groups.setdefault(kind, []).append(figure)
    return [*groups.values()]
