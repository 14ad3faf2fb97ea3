"""What a step would do, as one number that chains over the steps before it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from provision.plan._model import Plan
from provision.steps.model import Lock, Run, Site, Step, Write

GENERATION = "<generation>"
_OURS = f"{Path(__file__).parents[1]}/"


def chain(plan: Plan, lock: Lock, site: Site, steps: Sequence[Step]) -> tuple[str, ...]:
    """One fingerprint per step; the same in every generation, so that an unfinished one can be found again.

    The steps are asked with a placeholder for the generation's path, and without the plan's reasons and warnings:
    words make no other environment. Neither does the way by which its wheels came, nor what a step needs of a host
    while it works, nor where this checkout lies: several may share a prefix, and one may move. The lock is the first
    link: what is installed from it shows in the actions only as the file's name.
    """
    plan = plan.without_words()
    anywhere = msgspec.structs.replace(site, generation=GENERATION, uv="uv")
    link = hashlib.sha256(f"{plan.profile}\n{plan.python}\n{lock.text}".encode()).hexdigest()
    found = []
    for step in steps:
        actions = [_anywhere(each) for each in step.actions(plan, lock, anywhere) if isinstance(each, Run | Write)]
        said = msgspec.json.encode([link, step.label, actions], order="sorted")
        link = hashlib.sha256(said).hexdigest()
        found.append(link)
    return tuple(found)


def _anywhere(action: Run | Write) -> Run | Write:
    if isinstance(action, Write):
        return action
    # A script of ours counts by its file name: where it lies in this checkout makes no other environment.
    argv = (word.rpartition("/")[2] if word.startswith(_OURS) else word for word in action.argv)
    return msgspec.structs.replace(action, argv=tuple(argv))


def target(plan: Plan, lock: Lock, site: Site, steps: Sequence[Step]) -> str:
    """What the whole environment is to be: the chain's last link."""
    return chain(plan, lock, site, steps)[-1]
