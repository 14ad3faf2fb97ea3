"""The report of a run: the request, the steps, the checks and figures, and the verdict."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from provision.engine.conclude import Conclusion, conclude
from provision.errors import INTERRUPTED
from provision.events import StepResult
from provision.plan._model import Plan
from provision.report import short
from provision.results import CheckResult, CheckResults, Figure, TaskOutcome

SCHEMA: Final = "vllm-ready/report/1"


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """One package of the environment; `sha256` is the start of its wheel's hash, where known."""

    version: str
    sha256: str = ""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """The last outcome of a step in any run, and what it installed: files and packages."""

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
    verdict: Literal["verified", "not verified", "undecided", "not provisioned"]
    exit_code: int
    # platform; id: constant for one host; facts: as they were when the checks ran
    host: dict[str, Any]
    settings: dict[str, Any] = {}
    plan: Plan | None  # None: an environment of others, or a host without a plan
    unsupported: tuple[str, ...] = ()  # the reasons against a plan, the binding one first
    generation: str
    packages: dict[str, Package] = {}
    gpus: tuple[str, ...] = ()  # on which the checks were to be tried
    steps: tuple[StepResult, ...]
    tasks: tuple[TaskOutcome, ...] = ()  # of the user; they do not change the verdict
    # By the label of a step; from the run that did it, where this run kept its result.
    commands: dict[str, tuple[str, ...]] = {}
    notes: dict[str, tuple[str, ...]] = {}  # by the label of the step that was running
    left: dict[str, Left] = {}
    promised: tuple[str, ...] = ()  # the checks that decide the verdict
    checks: tuple[CheckResult, ...]
    owed: tuple[str, ...] = ()  # the checks that can run on the target host only
    untried: str = ""  # what users do and no check of this environment has done yet
    figures: tuple[Figure, ...] = ()
    # By comparison with the environment in use; any entry keeps that one current.
    regressions: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """Return the facts of the host; a report that was edited may have any JSON there."""
        facts = self.host.get("facts")
        return facts if isinstance(facts, dict) else {}

    @property
    def conclusion(self) -> Conclusion:
        """Return the verdict that the report's own contents support."""
        promised, gpus = self.promised, self.gpus
        # A run that built something tries every check of its plan. The numbers of steps are
        # multiples of ten; others are tasks of the user.
        built = any(step.outcome == "done" and step.number % 10 == 0 for step in self.steps)
        if self.plan and built:
            promised = (*promised, *(name for name in self.plan.checks if name not in self.owed))
        # A build for another host has no host id, and its checks run on no GPU.
        if self.plan and "id" in self.host and (built or gpus):
            gpus = self.plan.gpus.used
        return conclude(CheckResults(checks=self.checks, figures=self.figures), promised, gpus)

    @property
    def doubt(self) -> str:
        """Return a sentence about a "verified" that the contents do not support, else ""."""
        conclusion = self.conclusion
        if self.verdict != "verified" or conclusion.verdict == "verified":
            return ""
        reasons = "; ".join(conclusion.against)
        return f"says verified, but its contents do not support that: {reasons}"

    @property
    def headline(self) -> str:
        """Return the verdict, after the failed task where there is one."""
        failed = next((task.name for task in self.tasks if task.outcome == "failed"), "")
        return (
            f"task {failed} failed; the environment is {self.verdict}" if failed else self.verdict
        )

    @property
    def part(self) -> str:
        """Return how many of the promised checks a partial run covers, else ""."""
        planned = set(self.plan.checks) if self.plan and not self.steps else set()
        tried = planned & set(self.promised)
        return (
            f"{len(tried)} of the {len(planned)} promised checks"
            if self.promised and tried < planned
            else ""
        )

    @property
    def is_whole(self) -> bool:
        """Return whether the run is about one of our environments as a whole.

        Checks of another Python, a part of the checks, and an interrupted run are not.
        """
        return not self.part and "python" not in self.host and self.exit_code != INTERRUPTED

    @property
    def problems(self) -> tuple[str, ...]:
        """Return every reason against "verified", or against using the environment."""
        tasks = {task.name for task in self.tasks}
        labels = {f"{step.number}-{step.name}": step for step in self.steps}
        steps = [
            f"{'task' if label in tasks else 'step'} {step.number} {step.name} failed:"
            f" {short.first_line(step.problem)}"
            for label, step in labels.items()
            if step.outcome == "failed"
        ]
        # Checks that could not run are no problem of their own.
        if self.verdict == "not provisioned":
            return (
                *self.unsupported,
                *steps,
                *[f"{check.name} failed" for check in self.checks if check.outcome == "fail"],
            )
        return (*steps, *self.conclusion.against, *self.regressions)
