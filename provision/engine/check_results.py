"""What came of the checks of one run: how each ended, and every figure that was measured."""

from __future__ import annotations

import statistics
from typing import Any, Literal

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What can be laid beside another run's: the median of `samples`, in `unit`, or a word that is to stay the same.

    `of`: what it is of, in words; with the names of check and figure that tells one figure from another.
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
    def spread(self) -> float:
        """Of the middle 80 % of the samples, as a part of their median."""
        if len(self.samples) < 2 or not statistics.median(self.samples):
            return 0.0
        tenths = statistics.quantiles(self.samples, n=10, method="inclusive")
        return (tenths[-1] - tenths[0]) / abs(statistics.median(self.samples))


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one check ended, as a report has it; `measured` counts its figures.

    `gpus` are those on which it was tried; where it is about `every_gpu`, they are all that are used.
    """

    name: str
    step: int = 0  # which numbered step it proves
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


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """All that came of the checks of one run."""

    checks: tuple[CheckResult, ...] = ()
    figures: tuple[Figure, ...] = ()
