"""Builds with their hands tied: what a build would carry out, and whether there is anything to do at all."""

from __future__ import annotations

from packaging.utils import canonicalize_name

from provision.engine.building import Building, Work
from provision.engine.events import StepResult
from provision.engine.integrity.survey import Torn
from provision.steps.model import Fetch


class Touched(Exception):  # noqa: N818 - nothing is wrong
    """Something has changed since every file was read, or it is not known; only a build can tell what to do."""


class Glance(Building):
    """Whether everything stands untouched: what stands is told, anything else raises Touched."""

    def _heal(self, *, was_complete: bool, changed: list[str]) -> None:  # noqa: ARG002 - a build asks more
        raise Touched


class DryRun(Building):
    """What a build changes is left out here; what it decides by is the same code."""

    def _read_ahead(self, before: Work) -> None:
        """Nothing was installed."""

    def _forget_unpacked(self) -> None:
        """What a killed run has left stays."""

    def _take_out(self, torn: tuple[Torn, ...], *, looked_at: bool) -> None:
        """What is torn counts as missing, and stays."""

    def _carry_out(self, each: Work, ahead: Fetch | None = None) -> None:  # noqa: ARG002 - nothing is fetched
        self._whole |= {canonicalize_name(name) for name in each.leaves}
        self._end(each, StepResult(number=each.step.number, name=each.step.name, outcome="done"))

    def _complete(self, *, was_complete: bool) -> list[StepResult]:  # noqa: ARG002 - nothing is proved here
        return self._in_order()
