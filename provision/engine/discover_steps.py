"""Discover the numbered steps by listing folders."""

from __future__ import annotations

import importlib
from pathlib import Path

from provision.steps.model import Step


def discover() -> list[Step]:
    """Return every numbered step, in order."""
    # The number of a step is in its file name; the optional package has one step, too.
    steps: list[Step] = [
        importlib.import_module(f"provision.{path.parent.name}.{path.stem}").STEP
        for path in Path(__file__).parents[1].glob("*/step_[0-9][0-9]_*.py")
    ]
    return sorted(steps, key=lambda step: step.number)
