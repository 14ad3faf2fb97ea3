"""One step in one environment, and the mark of an environment whose steps are all done."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from provision.doors import files
from provision.engine import environments
from provision.events import StepResult
from provision.steps.model import Action, Fetch, Step


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One step with its actions and fingerprint for one environment."""

    step: Step
    actions: tuple[Action, ...]
    leaves: tuple[str, ...]
    fingerprint: str

    @property
    def fetches(self) -> bool:
        return any(isinstance(action, Fetch) for action in self.actions)

    def result(
        self,
        outcome: Literal["done", "kept", "failed"],
        *,
        seconds: float = 0.0,
        problem: str = "",
    ) -> StepResult:
        return StepResult(
            number=self.step.number,
            name=self.step.name,
            outcome=outcome,
            seconds=seconds,
            fingerprint=self.fingerprint,
            problem=problem,
        )


def is_complete(state: Path, fingerprint: str) -> bool:
    """Return whether all steps up to this fingerprint are done, as the mark says."""
    mark = files.read_document(state / environments.COMPLETE, dict[str, str])
    return mark is not None and mark.get("fingerprint") == fingerprint


def mark_complete(state: Path, fingerprint: str) -> None:
    files.write_own(
        state / environments.COMPLETE, msgspec.json.encode({"fingerprint": fingerprint})
    )


def unmark_complete(state: Path) -> None:
    """Mark an environment as incomplete, before it is changed."""
    files.remove_own(state / environments.COMPLETE)
