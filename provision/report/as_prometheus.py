"""A report as Prometheus gauges, for the textfile collector of node_exporter."""

from __future__ import annotations

import calendar
import re
import time
from collections import Counter
from collections.abc import Iterator

from provision.report._model import Report
from provision.results import Figure

_OUTCOMES = ("pass", "warn", "fail", "skip", "error")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_Samples = list[tuple[dict[str, str], float]]
_Metric = tuple[str, str, _Samples]  # name, help, samples


def text(report: Report) -> str:
    """Return the metrics of one run; `vllm_ready_run_timestamp_seconds` tells its age."""
    lines = [f"# This report {' '.join(report.doubt.split())}"] if report.doubt else []
    for name, help_, samples in (*_run_metrics(report), *_metrics(report)):
        values: dict[str, float] = {}
        for labels, value in samples:
            # A collector rejects the whole file where one series appears twice.
            values.setdefault(_labels(labels), value)
        if values:
            lines += [f"# HELP vllm_ready_{name} {help_}", f"# TYPE vllm_ready_{name} gauge"]
        lines += [f"vllm_ready_{name}{series} {_value(value)}" for series, value in values.items()]
    return "".join(f"{line}\n" for line in lines)


def _run_metrics(report: Report) -> Iterator[_Metric]:
    yield (
        "verified",
        "1 if every promised check of the run passed or warned and its contents support that.",
        [({}, report.verdict == "verified" and not report.doubt and not report.part)],
    )
    yield (
        "exit_code",
        "Exit code of the run: 0 verified, 1 a check failed, 5 undecided; see docs/commands.md.",
        [({}, report.exit_code)],
    )
    yield "run_timestamp_seconds", "Start of the run.", [({}, _timestamp(report.started))]
    yield "run_seconds", "Duration of the run.", [({}, report.seconds)]
    yield "info", "Properties of the run.", [(_about(report), 1)]


def _metrics(report: Report) -> Iterator[_Metric]:
    checks, figures = report.checks, report.figures
    counts: Counter[str] = Counter(check.outcome for check in checks)
    yield (
        "checks",
        "Number of checks by outcome.",
        [({"outcome": outcome}, counts[outcome]) for outcome in _OUTCOMES],
    )
    yield (
        "check",
        "1 for the outcome of a check, 0 for the others.",
        [
            (
                {"check": check.name, "weight": check.weight, "outcome": outcome},
                check.outcome == outcome,
            )
            for check in checks
            for outcome in _OUTCOMES
        ],
    )
    yield (
        "check_seconds",
        "Duration of a check.",
        [({"check": check.name}, check.seconds) for check in checks],
    )
    yield (
        "step_seconds",
        "Duration of a step.",
        [
            ({"step": str(step.number), "name": step.name, "outcome": step.outcome}, step.seconds)
            for step in report.steps
        ],
    )
    yield (
        "figure",
        "A measured value: the median of its samples.",
        [
            (_figure(figure), figure.value)
            for figure in figures
            if not isinstance(figure.value, str)
        ],
    )
    yield (
        "figure_info",
        "A figure that is a word.",
        [
            ({**_figure(figure), "value": figure.value}, 1.0)
            for figure in figures
            if isinstance(figure.value, str)
        ],
    )


def _about(report: Report) -> dict[str, str]:
    labels = {
        "run": report.run,
        "verdict": report.verdict,
        "generation": report.generation,
        "tool": report.tool,
        **{
            name: package.version
            for name, package in report.packages.items()
            if name in ("vllm", "torch")
        },
    }
    return {**labels, "cuda": report.plan.cuda or "none"} if report.plan else labels


def _figure(figure: Figure) -> dict[str, str]:
    labels = {
        "check": figure.check,
        "name": figure.name,
        "unit": figure.unit,
        "better": figure.better,
    }
    for key, value in figure.of.items():
        name = "of_" + re.sub(r"[^a-zA-Z0-9_]", "_", key)
        while name in labels:  # two keys may differ only in characters that labels cannot hold
            name += "_"
        labels[name] = value
    return labels


def _labels(labels: dict[str, str]) -> str:
    pairs = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _value(value: float) -> str:
    if value != value:  # noqa: PLR0124 - true of NaN only
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value)).removesuffix(".0")


def _timestamp(started: str) -> float:
    try:
        return calendar.timegm(time.strptime(started, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return float("nan")
