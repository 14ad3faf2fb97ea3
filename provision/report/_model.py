"""The report of a run: what was asked, what was done, what was measured and proved, and the verdict."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from provision.engine.check_results import CheckResult, Figure, Tried
from provision.engine.conclude import Conclusion, conclude
from provision.engine.events import StepResult
from provision.plan._model import Plan
from provision.report import short

SCHEMA: Final = "vllm-ready/report/1"

Verdict = Literal["verified", "not verified", "undecided", "not provisioned"]


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """One distribution of the environment; `sha256` is the beginning of its wheel's, where that is known."""

    version: str
    sha256: str = ""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """How a step ended last, in whichever run, and what it left: packages, and files of the environment or anywhere."""

    run: str = ""
    outcome: Literal["done", "failed", "interrupted"] = "done"
    files: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    schema: Literal["vllm-ready/report/1"] = SCHEMA
    run: str
    started: str
    seconds: float = 0.0
    tool: str = ""  # the version of vllm-ready
    verdict: Verdict
    exit_code: int
    host: dict[str, Any]  # platform; id: the same for one host over time; facts: as they were for the checks
    settings: dict[str, Any] = {}  # what was asked
    plan: Plan | None  # an environment that others have made has none, nor has a host that cannot run what was asked
    unsupported: tuple[str, ...] = ()  # why not, what binds first
    generation: str
    packages: dict[str, Package] = {}
    gpus: tuple[str, ...] = ()  # that were to be tried
    steps: tuple[StepResult, ...]
    commands: dict[str, tuple[str, ...]] = {}  # by the label of a step; of the run that did it, where it was kept
    notes: dict[str, tuple[str, ...]] = {}  # what came up on the way, by the label of the step that was at work
    left: dict[str, Left] = {}
    promised: tuple[str, ...] = ()  # the checks that decide
    checks: tuple[CheckResult, ...]
    owed: tuple[str, ...] = ()  # what only the host can prove for which this was built
    figures: tuple[Figure, ...] = ()
    regressions: tuple[str, ...] = ()  # beside the environment in use, which therefore stays so

    @property
    def concluded(self) -> Conclusion:
        """What its own contents support, whatever it says: its plan is one of them."""
        promised, gpus = self.promised, self.gpus
        # A run that has built something tries all that its plan promises. Numbers of tens are steps, no tasks of users.
        built = any(step.outcome == "done" and step.number % 10 == 0 for step in self.steps)
        if self.plan and built:
            promised = (*promised, *(name for name in self.plan.checks if name not in self.owed))
        if self.plan and "id" in self.host and (built or gpus):  # what is built for elsewhere is tried on no GPU
            gpus = self.plan.gpus.used
        return conclude(Tried(checks=self.checks, figures=self.figures), promised, gpus)

    @property
    def doubt(self) -> str:
        """What is to be said before all else: a "verified" that its own contents do not support."""
        concluded = self.concluded
        if self.verdict != "verified" or concluded.verdict == "verified":
            return ""
        return f"says verified, and its contents do not support that: {'; '.join(concluded.against)}"

    @property
    def part(self) -> str:
        """How much of what is promised it set out to try, where it only looked at a part: its verdict is of that."""
        planned = set(self.plan.checks) if self.plan and not self.steps else set()
        tried = planned & set(self.promised)
        return f"{len(tried)} of the {len(planned)} promised" if self.promised and tried < planned else ""

    @property
    def against(self) -> tuple[str, ...]:
        """All that stands against "verified", or against using what is."""
        failed = [step for step in self.steps if step.outcome == "failed"]
        steps = [f"step {step.number} {step.name} failed: {short.first_line(step.problem)}" for step in failed]
        if self.verdict == "not provisioned":  # what was not tried for that reason is no news
            return (
                *self.unsupported,
                *steps,
                *(f"{check.name} failed" for check in self.checks if check.outcome == "fail"),
            )
        return (*steps, *self.concluded.against, *self.regressions)

    def place(self, prefix: str) -> str:
        """Where the environment is; for this host's own pages, since the report itself carries no paths of a user."""
        return f"{prefix}/{self.generation}" if self.generation else f"none in {prefix}"
