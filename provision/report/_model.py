"""The report of a run: what was asked, what was done, what was proved, and the verdict."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from provision.engine.events import StepResult
from provision.engine.launch_checks import CheckResult
from provision.plan._model import Plan

SCHEMA: Final = "vllm-ready/report/1"

Verdict = Literal["verified", "not verified", "undecided", "not provisioned"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    schema: Literal["vllm-ready/report/1"] = SCHEMA
    run: str
    started: str
    verdict: Verdict
    exit_code: int
    host: dict[str, Any]
    plan: Plan | None  # an environment that others have made has none
    generation: str
    steps: tuple[StepResult, ...]
    checks: tuple[CheckResult, ...]
    owed: tuple[str, ...] = ()  # what only the host can prove for which this was built
    figures: dict[str, Any] = {}

    def place(self, prefix: str) -> str:
        """Where the environment is; for this host's own pages, since the report itself carries no paths of a user."""
        return f"{prefix}/{self.generation}" if self.generation else f"none in {prefix}"
