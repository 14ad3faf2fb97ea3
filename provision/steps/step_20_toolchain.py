"""Step 20: look for the C compiler and the Python headers that Triton needs at run time."""

from __future__ import annotations

from pathlib import Path

from provision.plan._model import Plan
from provision.steps.model import Action, Lock, Run, Site, Step

LOOK = Path(__file__).with_name("look_for_compiler.py")


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:  # noqa: ARG001 - the contract's signature
    if "/" not in site.host_python:
        return ()  # step 30 fetches this Python, and then looks with it
    return (look_for_compiler(plan, site.host_python),)


def look_for_compiler(plan: Plan, python: str) -> Run:
    """Return the action that looks with a given Python, which knows where its headers are."""
    # On a CPU vLLM runs without Triton, and with --enforce-eager it compiles nothing.
    return Run(
        title="look for a C compiler and Python's headers",
        argv=(python, "-I", str(LOOK), "must" if plan.profile == "cuda" else "should"),
        deadline_s=60.0,
    )


STEP = Step(
    number=20,
    name="toolchain",
    title="Compiler and Python headers",
    why="Triton compiles a launcher for every kernel on first use, and fails without a compiler",
    actions=actions,
)
