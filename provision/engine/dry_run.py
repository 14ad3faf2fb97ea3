"""Builds that change nothing: one only looks whether all is in place, one says what would run."""

from __future__ import annotations

from packaging.utils import canonicalize_name

from provision.engine.building import Building
from provision.engine.integrity.survey import DamagedDistribution
from provision.engine.work import Work
from provision.events import StepResult
from provision.steps.model import Fetch


class Touched(Exception):  # noqa: N818 - nothing is wrong
    """A sign that something changed since every file was read; only a build can decide."""


class Glance(Building):
    """A build that keeps steps in place and raises Touched where anything would have to be done."""

    def _heal(self, *, was_complete: bool, changed: list[str]) -> None:  # noqa: ARG002 - overridden
        raise Touched


class DryRun(Building):
    """A build whose changes are left out; it decides by the same code."""

    def _read_ahead(self, before: Work) -> None:
        """Do nothing: nothing was installed."""

    def _forget_unpacked(self) -> None:
        """Keep what a killed run has unpacked."""

    def _remove(self, torn: tuple[DamagedDistribution, ...], *, was_installed: bool) -> None:
        """Count damaged distributions as missing, and keep them."""

    def _carry_out(self, item: Work, ahead: Fetch | None = None) -> None:  # noqa: ARG002 - overridden
        self._intact |= {canonicalize_name(name) for name in item.leaves}
        self._end(item.result("done"))

    def _complete(self, *, was_complete: bool) -> list[StepResult]:  # noqa: ARG002 - overridden
        return self._in_order()
