"""Line charts as SVG by pygal, stripped of its colours, scripts and addresses: the page that holds them has its own."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal
from xml.etree import ElementTree as ET

import msgspec

from provision.report.short import number

WIDTH, HEIGHT = 420, 250
_LETTERS = 15  # px, the largest that the page has; room is left for them
_MOST = 1e300  # nothing measured comes near it, and above it there is no room on a scale
KINDS: Final = 8  # of colour, dash and marker; the page's style has as many
_SHAPES = (
    "M{x} {y}m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
    "M{x} {y}m-3.2 -3.2h6.4v6.4h-6.4z",
    "M{x} {y}m0 -4.4l4.2 7.4h-8.4z",
    "M{x} {y}m0 -4.6l4.6 4.6l-4.6 4.6l-4.6 -4.6z",
    "M{x} {y}m0 4.4l4.2 -7.4h-8.4z",
    "M{x} {y}m-1.3 -4.2h2.6v2.9h2.9v2.6h-2.9v2.9h-2.6v-2.9h-2.9v-2.6h2.9z",
    "M{x} {y}m-4.2 -1.7h8.4v3.4h-8.4z",
    "M{x} {y}m-1.7 -4.2h3.4v8.4h-3.4z",
)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a chart; `kind` is the same for what is the same in another chart."""

    name: str
    kind: int
    points: tuple[tuple[float, float], ...]


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """What a scale shows; lines that are laid side by side share it."""

    low: float
    high: float
    scale: Literal["linear", "log"]
    unit: str

    def shows(self, value: float) -> bool:
        """Times, speeds and sizes are never below 0, and 0 is on no logarithmic scale."""
        return value < _MOST and (value > 0 or (value == 0 and self.scale == "linear"))

    def at(self, value: float) -> float:
        return math.log2(value) if self.scale == "log" else value


def axis(values: Sequence[float], unit: str, scale: Literal["linear", "log"]) -> Axis:
    """Room for all values that can be shown."""
    whole = Axis(low=0.0, high=1.0, scale=scale, unit=unit)
    shown = [value for value in values if whole.shows(value)] or [1.0]
    return msgspec.structs.replace(whole, low=min(shown) if scale == "log" else 0.0, high=max(shown))


def drawn(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """A chart that a screen reader names by its title; every point says what it is. Nothing where there is no point."""
    shown = [msgspec.structs.replace(line, points=tuple(_finite(line.points, x, y))) for line in lines]
    shown = [line for line in shown if line.points]
    if not shown:
        return ""
    pygal = _pygal()
    chart = pygal.XY(css=(), js=(), no_prefix=True, show_legend=False, width=WIDTH, height=HEIGHT)
    chart.config(margin=4, margin_top=8, margin_right=14, spacing=6, dots_size=3, print_values=False)
    chart.config.style.label_font_size = chart.config.style.major_label_font_size = _LETTERS
    chart.config(xrange=_span(x), range=_span(y), include_x_axis=False)
    chart.config(x_labels_major_every=1, y_labels_major_every=1)  # told which, it does not count powers of ten
    chart.x_labels = _ticks(x, tokens)
    chart.y_labels = _ticks(y, number)
    for line in shown:
        chart.add("", [(x.at(one), y.at(other)) for one, other in line.points])
    return _ours(chart.render_tree(), title, shown, x, y)


def _pygal() -> Any:  # noqa: ANN401 - it has no types
    """Without its hook for plugins with maps, which would hear of every import from then on."""
    import pygal

    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]
    return pygal


def key(kind: int) -> str:
    """The sample of a line for a legend."""
    shape = _SHAPES[kind % KINDS].format(x=18, y=7)
    return (
        f'<svg class="key kind-{kind % KINDS}" viewBox="0 0 36 14" width="36" height="14" aria-hidden="true">'
        f'<path class="line" d="M1 7H35"/><path class="dot" d="{shape}"/></svg>'
    )


def _finite(points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> list[tuple[float, float]]:
    return sorted(point for point in points if x.shows(point[0]) and y.shows(point[1]))


def _span(axis: Axis) -> tuple[float, float]:
    low, high = axis.at(axis.low), axis.at(axis.high)
    room = (high - low) * 0.04 or 0.5
    return (low - room if axis.scale == "log" else low, high + room)


def _ticks(axis: Axis, said: Callable[[float], str]) -> list[dict[str, object]]:
    values = _log_ticks(axis) if axis.scale == "log" else _linear_ticks(axis)
    return [{"value": axis.at(value), "label": said(value)} for value in values]


def _log_ticks(axis: Axis) -> list[float]:
    """Powers of two where a count doubles, else of ten; so many that they do not touch."""
    base = 2 if axis.unit == "tokens" else 10
    first, last = math.ceil(math.log(axis.low, base) - 1e-9), math.floor(math.log(axis.high, base) + 1e-9)
    step = 1 + max(last - first, 0) // 8
    return [float(base) ** power for power in range(first, last + 1, step)] or [axis.low]


def _linear_ticks(axis: Axis) -> list[float]:
    rough = (axis.high - axis.low) / 4 or 1
    size = 10 ** math.floor(math.log10(rough))
    step = size * next(times for times in (1, 2, 5, 10) if size * times >= rough)
    return [step * at for at in range(int(axis.high / step) + 1)]


def tokens(value: float) -> str:
    """As lengths of context are called."""
    return f"{value / 1024:g}k" if value >= 1024 and value % 1024 == 0 else number(value)


def _ours(root: ET.Element, title: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """Only what is drawn, by names that the page's style knows; a shape for each kind of line."""
    root.attrib.clear()
    root.attrib.update({"class": "chart", "viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": title})
    for parent in [*root.iter()]:
        for child in [*parent]:
            if child.tag not in ("g", "path", "circle", "text") or "-overlay" in str(child.get("class", "")):
                parent.remove(child)
    series = [group for group in root.iter("g") if str(group.get("class", "")).startswith("series")]
    for group in series:
        line = lines[int(str(group.get("class")).rpartition("-")[2])]
        group.set("class", f"series kind-{line.kind % KINDS}")
        for dot, point in zip(group.iter("circle"), line.points, strict=False):
            _mark(dot, line, f"{line.name}, {number(point[0])} {x.unit}: {number(point[1])} {y.unit}")
    for shape in root.iter():
        for name in ("d", "x", "y"):
            if name in shape.attrib:
                shape.set(name, re.sub(r"(\d\.\d)\d+", r"\1", shape.attrib[name]))
    return ET.tostring(root, encoding="unicode")


def _mark(dot: ET.Element, line: Line, said: str) -> None:
    at = {name: round(float(str(dot.get(f"c{name}"))), 1) for name in ("x", "y")}
    dot.attrib.clear()
    dot.tag = "path"
    dot.set("class", "dot")
    dot.set("d", _SHAPES[line.kind % KINDS].format(**at))
    ET.SubElement(dot, "title").text = said
