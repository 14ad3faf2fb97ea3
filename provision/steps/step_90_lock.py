"""Step 90: store plan and lock in the environment, and hold every distribution to the lock."""

from __future__ import annotations

import msgspec

from provision.plan._model import Plan
from provision.steps.model import Action, Lock, Site, Step, Write


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
    return (
        Write(
            title="the plan", path=f"{site.state}/plan.json", text=_document(as_built(plan, lock))
        ),
        # Without tokens: everyone who may read the environment may read this file.
        Write(
            title="the lock as data",
            path=f"{site.state}/lock.json",
            text=_document(lock.without_tokens()),
        ),
    )


def leaves(plan: Plan, lock: Lock) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    return tuple(pin.name for pin in lock.pins)


def as_built(plan: Plan, lock: Lock) -> Plan:
    """Return the plan without an optional package that the lock lacks: built later, or refused.

    So the environment is the same with both plans.
    """
    return plan if lock.optional else plan.without_optional()


def _document(value: Plan | Lock) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n"


STEP = Step(
    number=90,
    name="lock",
    title="Plan and lock",
    why="an environment that holds its plan and lock can be checked, repaired and made again",
    actions=actions,
    leaves=leaves,
)
