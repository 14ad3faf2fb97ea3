"""A build with its hands tied: walks the steps as a real one would, and only says which would be carried out."""

from __future__ import annotations

from packaging.utils import canonicalize_name

from provision.engine.building import Building, Work
from provision.engine.events import StepResult
from provision.engine.whole import Torn


class DryRun(Building):
    """What a build changes is left out here; what it decides by is the same code."""

    def _take_out(self, torn: tuple[Torn, ...], *, looked_at: bool) -> None:
        """What is torn counts as missing, and stays."""

    def _carry_out(self, each: Work) -> None:
        self._whole |= {canonicalize_name(name) for name in each.leaves}
        self._end(each, StepResult(number=each.step.number, name=each.step.name, outcome="done"))

    def _complete(self, *, was_complete: bool) -> list[StepResult]:  # noqa: ARG002 - nothing is proved here
        return self._in_order()
