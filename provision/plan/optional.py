"""The contract between a plan and the room of an optional package, which chooses for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from provision.catalog.rows import Catalogue
from provision.plan._model import Decision, FlashAttn, Package, Refusal, Rejected
from provision.plan.candidates import Candidate
from provision.plan.situation import Situation


class OptionalChoice(Protocol):
    """The choice of an optional package, for the plan's three places."""

    @property
    def plan(self) -> FlashAttn: ...
    @property
    def package(self) -> Package | None: ...
    @property
    def rejected(self) -> Sequence[Rejected]: ...
    @property
    def decision(self) -> Decision: ...


class Chooser(Protocol):
    """The chooser of an optional package: a module with these functions."""

    def choose(
        self,
        candidate: Candidate,
        used: tuple[str, ...],
        situation: Situation,
        catalogue: Catalogue,
        refusals: tuple[Refusal, ...] = ...,
    ) -> OptionalChoice:
        """Choose beside one vLLM, for the GPUs that are used, without refused candidates."""

    def for_cpu(self) -> OptionalChoice:
        """Choose for a host whose CPU runs vLLM."""
