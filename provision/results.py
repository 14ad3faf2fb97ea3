"""Results of checks: how each check ended, and every figure that it measured."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A measured figure that can be compared with another run.

    `value` is the median of `samples` in `unit`, or a word that should stay the same. `of` says
    what was measured; together with the names of check and figure it identifies the figure.
    """

    check: str
    name: str
    of: dict[str, str] = {}
    value: float | str
    unit: str = ""
    better: Literal["higher", "lower", "same"] = "same"
    samples: tuple[float, ...] = ()
    repeats: int = 0
    method: str = ""

    @property
    def middle(self) -> tuple[float, float]:
        """Return both ends of the middle 80 % of the samples, of which there are at least two."""
        import statistics  # a third of the time that importing events takes

        tenths = statistics.quantiles(self.samples, n=10, method="inclusive")
        return tenths[0], tenths[-1]

    @property
    def spread(self) -> float:
        """Return the width of the middle 80 % of the samples, relative to their median."""
        import statistics

        if len(self.samples) < 2 or not (median := statistics.median(self.samples)):
            return 0.0
        low, high = self.middle
        return (high - low) / abs(median)


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one check, as a report shows it; `measured` counts its figures.

    `gpus` are the GPUs on which it was tried. A check about `every_gpu` must be tried on all GPUs
    that are used. `log` is the file with its output, and `lines` are those that tell why it did not
    pass.
    """

    name: str
    step: int = 0  # the number of the step that it proves
    outcome: Literal["pass", "warn", "fail", "skip", "error"]
    weight: Literal["must", "should"] = "must"
    proves: str = ""
    summary: str = ""
    evidence: dict[str, Any] = {}
    seconds: float = 0.0
    hint: str = ""
    every_gpu: bool = False
    gpus: tuple[str, ...] = ()
    measured: int = 0
    log: str = ""
    lines: tuple[str, ...] = ()


class TaskOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a task of the user. Its checks say nothing about the environment as a whole."""

    name: str
    outcome: Literal["done", "kept", "failed", "interrupted"]
    checks: tuple[CheckResult, ...] = ()
    figures: tuple[Figure, ...] = ()


class CheckResults(msgspec.Struct, frozen=True, kw_only=True):
    """The results and figures of all checks of a run."""

    checks: tuple[CheckResult, ...] = ()
    figures: tuple[Figure, ...] = ()
