"""Line charts as geometry in the units of an SVG; templates/chart.html draws them.

The SVG is our own: a chart library's output had to be stripped of its style, scripts and
addresses and repaired. Here the page's style sheet gives all colours, so light, dark and print
need no second drawing, and the template escapes every text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from provision.report.short import number

WIDTH, HEIGHT = 420, 270
KINDS: Final = 8  # of colour, dash and marker; page.css and chart.html have as many
_Place = Callable[[float], float]  # from a value to its coordinate
# The style uses letters of 15 px at most, on phones; the widest digit takes 9 px of it.
_DIGIT = 9
TOP, RIGHT, BOTTOM = 28, WIDTH - 24, HEIGHT - 48  # of the plot area
_SMALLEST, _LARGEST = 1e-300, 1e300  # beyond these a scale overflows; no measurement comes near


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value; `low` and `high` enclose the middle 80 % of its samples."""

    x: float
    y: float
    low: float
    high: float
    spread: str = ""


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """The range of a scale; charts that are compared by eye share it."""

    low: float
    high: float
    scale: Literal["linear", "log"]
    unit: str

    def shows(self, value: float) -> bool:
        """Return whether the value has a place on this scale."""
        if value == 0:
            return self.scale == "linear"
        return _SMALLEST < value < _LARGEST

    def position(self, value: float) -> float:
        """Return the place of a value along the scale, in the scale's own measure."""
        return math.log2(value) if self.scale == "log" else value


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """A drawn point: its place, the bar of its spread, and the text shown on hover."""

    x: float
    y: float
    bar: tuple[float, float] | None
    text: str


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """All that a chart shows: ticks with their labels, dots by the kind of their line."""

    title: str
    description: str
    left: float
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[tuple[int, tuple[Dot, ...]], ...]


def axis(values: Sequence[float], unit: str, scale: Literal["linear", "log"]) -> Axis:
    """Return an axis with room for every value that can be shown."""
    widest = Axis(low=0.0, high=1.0, scale=scale, unit=unit)
    visible = [value for value in values if widest.shows(value)] or [1.0]
    return msgspec.structs.replace(
        widest, low=min(visible) if scale == "log" else 0.0, high=max(visible)
    )


def draw(
    title: str,
    lines: Mapping[str, Sequence[Point]],
    x: Axis,
    y: Axis,
    kinds: Mapping[str, int] | None = None,
) -> Drawing | None:
    """Return the chart, or None where no point can be shown.

    A line has its kind by its place, so the same names in the same order look the same; or by
    `kinds`, so that several lines look the same.
    """
    kinds = kinds or {name: place for place, name in enumerate(lines)}
    visible = {name: _visible(points, x, y) for name, points in lines.items()}
    if not any(visible.values()):
        return None
    left = 12.0 + _DIGIT * max(len(number(value)) for value in _ticks(y))
    across, up = _placed(x, left, RIGHT), _placed(y, BOTTOM, TOP)
    return Drawing(
        title=title,
        description="; ".join(
            _described(name, points, y.unit) for name, points in visible.items() if points
        ),
        left=left,
        x_ticks=tuple((across(value), tokens(value)) for value in _ticks(x)),
        y_ticks=tuple((up(value), number(value)) for value in _ticks(y)),
        lines=tuple(
            (kinds[name], tuple(_dot(name, point, across, up, y) for point in points))
            for name, points in visible.items()
            if points
        ),
    )


def tokens(value: float) -> str:
    """Return a context length as it is usually written: 512, 4k, 128k."""
    return f"{value / 1024:g}k" if value >= 1024 and value % 1024 == 0 else number(value)


def _visible(points: Sequence[Point], x: Axis, y: Axis) -> tuple[Point, ...]:
    return tuple(
        sorted(
            (point for point in points if x.shows(point.x) and y.shows(point.y)),
            key=lambda point: point.x,
        )
    )


def _described(name: str, points: Sequence[Point], unit: str) -> str:
    first, last = points[0], points[-1]
    start = f"{name}: {number(first.y)} {unit} at {tokens(first.x)}"
    return start if first is last else f"{start}, {number(last.y)} {unit} at {tokens(last.x)}"


def _placed(axis: Axis, start: float, end: float) -> _Place:
    low, high = axis.position(axis.low), axis.position(axis.high)
    # A single value needs a range too.
    room = (high - low) * 0.04 or 0.5
    low, high = (low - room if axis.scale == "log" else low), high + room

    def place(value: float) -> float:
        part = (axis.position(value) - low) / (high - low)
        # A spread may reach beyond the scale; its bar ends at the edge of the plot area.
        return round(start + min(max(part, 0.0), 1.0) * (end - start), 1)

    return place


def _dot(name: str, point: Point, across: _Place, up: _Place, y: Axis) -> Dot:
    text = f"{name}, {number(point.x)} tokens: {number(point.y)} {y.unit}"
    bar = None
    if y.shows(point.low) and y.shows(point.high):
        bar = up(point.low), up(point.high)
    return Dot(
        x=across(point.x),
        y=up(point.y),
        bar=bar if bar and bar[0] - bar[1] >= 1 else None,  # no bar shorter than a pixel
        text=f"{text}, spread {point.spread}" if point.spread else text,
    )


def _ticks(axis: Axis) -> list[float]:
    return _log_ticks(axis) if axis.scale == "log" else _linear_ticks(axis)


def _log_ticks(axis: Axis) -> list[float]:
    """Return powers of two for token counts, else of ten; few enough that labels do not touch."""
    base = 2 if axis.unit == "tokens" else 10
    # The logarithm of an exact power may be off by a rounding error.
    first = math.ceil(math.log(axis.low, base) - 1e-9)
    last = math.floor(math.log(axis.high, base) + 1e-9)
    step = 1 + max(last - first, 0) // 8
    return [float(base) ** power for power in range(first, last + 1, step)] or [axis.low]


def _linear_ticks(axis: Axis) -> list[float]:
    rough = (axis.high - axis.low) / 5 or 1
    size = 10.0 ** math.floor(math.log10(rough))
    step = size * next(times for times in (1, 2, 5, 10) if size * times >= rough)
    return [step * at for at in range(int(axis.high / step) + 1)]
