"""A report as gauges for Prometheus, to be put into the folder of node_exporter's textfile collector."""

from __future__ import annotations

import calendar
import re
import time
from collections import Counter

from provision.engine.check_results import Figure
from provision.report._model import Report

_OUTCOMES = ("pass", "warn", "fail", "skip", "error")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class _Page:
    """Lines of metrics, each metric once; a collector throws away the whole file where one sample comes twice."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def metric(self, name: str, help_: str, samples: list[tuple[dict[str, str], float]]) -> None:
        told: dict[str, float] = {}
        for labels, value in samples:
            told.setdefault(_labels(labels), value)
        if told:
            self.lines += [f"# HELP vllm_ready_{name} {help_}", f"# TYPE vllm_ready_{name} gauge"]
        self.lines += [f"vllm_ready_{name}{labels} {_value(value)}" for labels, value in told.items()]


def text(report: Report) -> str:
    """Everything is of the newest run; `vllm_ready_run_timestamp_seconds` says how old that is."""
    page = _Page([f"# This report {_one_line(report.doubt)}"] if report.doubt else [])
    of_run: list[tuple[str, str, float]] = [
        ("verified", "1 where the run is verified, all of it, and its contents support that.", _verified(report)),
        (
            "exit_code",
            "How the run ended: 0 verified, 1 a check failed, 5 undecided, others in the README.",
            report.exit_code,
        ),
        ("run_timestamp_seconds", "When the run began.", _began(report.started)),
        ("run_seconds", "How long the run took.", report.seconds),
    ]
    for name, help_, value in of_run:
        page.metric(name, help_, [({}, value)])
    page.metric("info", "What the run was about.", [(_about(report), 1)])
    counts: Counter[str] = Counter(check.outcome for check in report.checks)
    page.metric("checks", "Checks by outcome.", [({"outcome": one}, counts[one]) for one in _OUTCOMES])
    page.metric(
        "check",
        "1 for the outcome of each check.",
        [
            ({"check": check.name, "weight": check.weight, "outcome": one}, check.outcome == one)
            for check in report.checks
            for one in _OUTCOMES
        ],
    )
    page.metric(
        "check_seconds", "How long a check took.", [({"check": one.name}, one.seconds) for one in report.checks]
    )
    page.metric(
        "step_seconds",
        "How long a step took.",
        [({"step": str(one.number), "name": one.name, "outcome": one.outcome}, one.seconds) for one in report.steps],
    )
    measured = [(_of(one), one.value) for one in report.figures if not isinstance(one.value, str)]
    page.metric("figure", "What was measured: the median of its samples.", measured)
    words = [({**_of(one), "value": one.value}, 1.0) for one in report.figures if isinstance(one.value, str)]
    page.metric("figure_info", "What was found in words.", words)
    return "".join(f"{line}\n" for line in page.lines)


def _verified(report: Report) -> bool:
    return report.verdict == "verified" and not report.doubt and not report.part


def _about(report: Report) -> dict[str, str]:
    versions = {name: package.version for name, package in report.packages.items() if name in ("vllm", "torch")}
    cuda = {"cuda": report.plan.cuda or "none"} if report.plan else {}
    ours = {"run": report.run, "verdict": report.verdict, "generation": report.generation, "tool": report.tool}
    return {**ours, **versions, **cuda}


def _of(figure: Figure) -> dict[str, str]:
    labels = {"check": figure.check, "name": figure.name, "unit": figure.unit, "better": figure.better}
    for key, value in figure.of.items():
        name = "of_" + re.sub(r"[^a-zA-Z0-9_]", "_", key)
        while name in labels:
            name += "_"
        labels[name] = value
    return labels


def _labels(labels: dict[str, str]) -> str:
    said = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{said}}}" if said else ""


def _value(value: float) -> str:
    if value != value:  # noqa: PLR0124 - what only NaN does
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value)).removesuffix(".0")


def _began(started: str) -> float:
    try:
        return calendar.timegm(time.strptime(started, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return float("nan")


def _one_line(text: str) -> str:
    return " ".join(text.split())
