"""Step 20: the C compiler and the Python headers that Triton compiles its launchers with, at run time."""

from __future__ import annotations

from pathlib import Path

from provision.plan._model import Plan
from provision.steps.model import Action, Lock, Run, Site, Step

LOOK = Path(__file__).with_name("look_for_compiler.py")


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:  # noqa: ARG001 - the contract's signature
    if "/" not in site.host_python:
        return ()  # uv fetches this Python in the next step, which then asks it
    return (look_for_compiler(plan, site.host_python),)


def look_for_compiler(plan: Plan, python: str) -> Run:
    """Asked of the very Python, since only that knows where its headers lie."""
    # On a CPU vLLM runs without Triton; with --enforce-eager it compiles nothing at all.
    weight = "must" if plan.profile == "cuda" else "should"
    look = (python, "-I", str(LOOK), weight)
    return Run(title="look for a C compiler and Python's headers", argv=look, deadline_s=60.0)


STEP = Step(
    number=20,
    name="toolchain",
    title="Compiler and Python headers",
    why="Triton compiles a launcher for every kernel on first use, and dies where it cannot",
    actions=actions,
)
