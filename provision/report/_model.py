"""The report of a run: what was asked, what was done, what was proved, and the verdict."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from provision.plan._model import Plan

SCHEMA: Final = "vllm-ready/report/1"

Verdict = Literal["verified", "not verified", "undecided", "not provisioned"]
Outcome = Literal["pass", "warn", "fail", "skip", "error"]


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one numbered step ended; "kept" is a step that an earlier run had done and that still holds."""

    number: int
    name: str
    title: str
    outcome: Literal["done", "kept", "failed"]
    seconds: float
    problem: str = ""
    commands: tuple[str, ...] = ()


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found."""

    name: str
    outcome: Outcome
    weight: Literal["must", "should"]
    proves: str
    summary: str
    evidence: dict[str, Any] = {}
    seconds: float = 0.0
    hint: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    schema: Literal["vllm-ready/report/1"] = SCHEMA
    run: str
    started: str
    verdict: Verdict
    exit_code: int
    host: dict[str, Any]
    plan: Plan | None
    generation: str | None
    steps: tuple[StepResult, ...]
    checks: tuple[CheckResult, ...]
    figures: dict[str, Any] = {}


def judge(
    steps: tuple[StepResult, ...], checks: tuple[CheckResult, ...], promised: tuple[str, ...]
) -> tuple[Verdict, int]:
    """Verified is when every promised check has passed or warned. A skip is never a pass; a failure goes first."""
    if any(step.outcome == "failed" for step in steps):
        return "not provisioned", 4
    outcomes = {check.name: check.outcome for check in checks}
    if any(outcome == "fail" for outcome in outcomes.values()):
        return "not verified", 1
    if any(outcomes.get(name) not in ("pass", "warn") for name in promised):
        return "undecided", 5
    return "verified", 0
