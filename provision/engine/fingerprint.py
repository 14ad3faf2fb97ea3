"""Fingerprints of steps: each is a hash of the step's actions and of the fingerprint before it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from provision.plan._model import Plan
from provision.steps.model import Lock, Run, Site, Step, Write

ANYWHERE = "<generation>"
_OURS = f"{Path(__file__).parents[1]}/"


def chain(plan: Plan, lock: Lock, site: Site, steps: Sequence[Step]) -> tuple[str, ...]:
    """Return one fingerprint per step.

    The first link is the lock: the actions name it only by its file. Fingerprints do not depend on
    the environment's path, so that an unfinished environment can be found again, nor on this
    checkout's path, because checkouts move and may share a prefix. Reasons and warnings of the
    plan, downloads, and the needs of a step are left out: they do not change what is installed.
    """
    plan = plan.without_words()
    anywhere = msgspec.structs.replace(site, generation=ANYWHERE, uv="uv")
    link = hashlib.sha256(f"{plan.profile}\n{plan.python}\n{lock.text}".encode()).hexdigest()
    links = []
    for step in steps:
        actions = [
            _without_checkout(action)
            for action in step.actions(plan, lock, anywhere)
            if isinstance(action, Run | Write)
        ]
        document = msgspec.json.encode([link, step.label, actions], order="sorted")
        link = hashlib.sha256(document).hexdigest()
        links.append(link)
    return tuple(links)


def _without_checkout(action: Run | Write) -> Run | Write:
    if isinstance(action, Write):
        return action
    # A script of this checkout counts by its file name only.
    argv = (word.rpartition("/")[2] if word.startswith(_OURS) else word for word in action.argv)
    return msgspec.structs.replace(action, argv=tuple(argv))


def target_fingerprint(plan: Plan, lock: Lock, site: Site, steps: Sequence[Step]) -> str:
    """Return the fingerprint of the whole environment: the last link of the chain."""
    return chain(plan, lock, site, steps)[-1]
