"""Line charts as geometry in the units of an SVG; templates/chart.html draws them.

The SVG is our own: a chart library's output had to be stripped of its style, scripts and
addresses and repaired. Here the page's style sheet gives all colours, so light, dark and print
need no second drawing, and the template escapes every text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from provision.report.short import number

WIDTH, HEIGHT = 420, 270
KINDS: Final = 8  # of colour, dash and marker; page.css and chart.html have as many
# The style uses letters of 15 px at most, on phones; the widest digit takes 9 px of it.
_DIGIT = 9
_TOP, _RIGHT, _BELOW = 28, 24, 48
_SMALLEST, _LARGEST = 1e-300, 1e300  # beyond these a scale overflows; no measurement comes near


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value; `low` and `high` enclose the middle 80 % of its samples."""

    x: float
    y: float
    low: float
    high: float
    spread: str = ""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The points of one line; `kind` is the same for the same name in every chart."""

    name: str
    kind: int
    points: tuple[Point, ...]


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


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled place on an axis."""

    at: float
    label: str


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """A drawn point: its place, the bar of its spread, and the text shown on hover."""

    x: float
    y: float
    bar: tuple[float, float] | None
    text: str


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A drawn line; `path` is empty where there is only one dot."""

    kind: int
    path: str
    dots: tuple[Dot, ...]


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """All that a chart shows, in the units of its view box; `left` to `bottom` is the plot area."""

    title: str
    description: str
    x_label: str
    y_label: str
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    curves: tuple[Curve, ...]


def axis(values: Sequence[float], unit: str, scale: Literal["linear", "log"]) -> Axis:
    """Return an axis with room for every value that can be shown."""
    widest = Axis(low=0.0, high=1.0, scale=scale, unit=unit)
    visible = [value for value in values if widest.shows(value)] or [1.0]
    low = min(visible) if scale == "log" else 0.0
    return msgspec.structs.replace(widest, low=low, high=max(visible))


def draw(title: str, series: Sequence[Series], x: Axis, y: Axis) -> Drawing | None:
    """Return the chart, or None where no point can be shown."""
    series = [msgspec.structs.replace(one, points=_visible(one.points, x, y)) for one in series]
    series = [one for one in series if one.points]
    if not series:
        return None
    x_values, y_values = _ticks(x), _ticks(y)
    left = 12 + _DIGIT * max(len(number(value)) for value in y_values)
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BELOW
    across, up = _placed(x, left, right), _placed(y, bottom, _TOP)
    return Drawing(
        title=title,
        description="; ".join(_described(one, y.unit) for one in series),
        x_label=f"context length ({x.unit})",
        y_label=y.unit,
        left=left,
        right=right,
        top=_TOP,
        bottom=bottom,
        x_ticks=tuple(Tick(at=across(value), label=tokens(value)) for value in x_values),
        y_ticks=tuple(Tick(at=up(value), label=number(value)) for value in y_values),
        curves=tuple(_curve(one, across, up, y) for one in series),
    )


def tokens(value: float) -> str:
    """Return a context length as it is usually written: 512, 4k, 128k."""
    return f"{value / 1024:g}k" if value >= 1024 and value % 1024 == 0 else number(value)


def _visible(points: Sequence[Point], x: Axis, y: Axis) -> tuple[Point, ...]:
    shown = (point for point in points if x.shows(point.x) and y.shows(point.y))
    return tuple(sorted(shown, key=lambda point: point.x))


def _described(series: Series, unit: str) -> str:
    first, last = series.points[0], series.points[-1]
    start = f"{series.name}: {number(first.y)} {unit} at {tokens(first.x)}"
    return start if first is last else f"{start}, {number(last.y)} {unit} at {tokens(last.x)}"


def _placed(axis: Axis, start: float, end: float) -> Callable[[float], float]:
    """Return the function from a value to its coordinate between start and end."""
    low, high = axis.position(axis.low), axis.position(axis.high)
    room = (high - low) * 0.04 or 0.5
    low, high = (low - room if axis.scale == "log" else low), high + room

    def place(value: float) -> float:
        part = (axis.position(value) - low) / (high - low)
        return round(start + min(max(part, 0.0), 1.0) * (end - start), 1)

    return place


def _curve(
    series: Series, across: Callable[[float], float], up: Callable[[float], float], y: Axis
) -> Curve:
    dots = tuple(
        Dot(
            x=across(point.x),
            y=up(point.y),
            bar=_bar(point, up, y),
            text=f"{series.name}, {number(point.x)} tokens: {number(point.y)} {y.unit}"
            + (f", spread {point.spread}" if point.spread else ""),
        )
        for point in series.points
    )
    corners = "L".join(f"{dot.x} {dot.y}" for dot in dots)
    return Curve(kind=series.kind % KINDS, path=f"M{corners}" if dots[1:] else "", dots=dots)


def _bar(point: Point, up: Callable[[float], float], y: Axis) -> tuple[float, float] | None:
    """Return the ends of the spread's bar, or None where it would be shorter than a pixel."""
    if not (y.shows(point.low) and y.shows(point.high)):
        return None
    bottom, top = up(point.low), up(point.high)
    return (bottom, top) if bottom - top >= 1 else None


def _ticks(axis: Axis) -> list[float]:
    return _log_ticks(axis) if axis.scale == "log" else _linear_ticks(axis)


def _log_ticks(axis: Axis) -> list[float]:
    """Return powers of two for token counts, else of ten; few enough that labels do not touch."""
    base = 2 if axis.unit == "tokens" else 10
    first = math.ceil(math.log(axis.low, base) - 1e-9)
    last = math.floor(math.log(axis.high, base) + 1e-9)
    step = 1 + max(last - first, 0) // 8
    return [float(base) ** power for power in range(first, last + 1, step)] or [axis.low]


def _linear_ticks(axis: Axis) -> list[float]:
    rough = (axis.high - axis.low) / 5 or 1
    size = 10.0 ** math.floor(math.log10(rough))
    step = size * next(times for times in (1, 2, 5, 10) if size * times >= rough)
    return [step * at for at in range(int(axis.high / step) + 1)]
