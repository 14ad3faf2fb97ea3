"""Step 50: vLLM and everything else of the lock; nothing is resolved again, so torch stays what it is."""

from __future__ import annotations

from pathlib import Path

from provision.plan._model import Plan
from provision.steps import step_40_torch
from provision.steps.model import Action, Lock, Pin, Run, Site, Step, Write, fetch, requirements

LAY_OUT = Path(__file__).with_name("lay_out_toolkit.py")


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
    package = plan.packages["vllm"]
    version = package.version if package else ""
    before = step_40_torch.leaves(plan, lock)
    pins = _pins(lock)
    return (
        fetch((pin for pin in pins if pin.name not in before), site),
        Write(title="the lock", path=site.lock_file, text=requirements(pins)),
        Run(
            title=f"install vLLM {version} and {len(pins)} distributions in all",
            argv=site.install(site.lock_file),  # not --exact: what somebody has added by hand stays
        ),
        *((lay_out_toolkit(plan, site),) if plan.cuda else ()),
    )


def lay_out_toolkit(plan: Plan, site: Site) -> Run:
    wheels = f"{site.generation}/lib/python{plan.python}/site-packages/nvidia/cu{(plan.cuda or '').split('.')[0]}"
    return Run(
        title="lay out the CUDA toolkit of the wheels",
        argv=(site.python, "-I", str(LAY_OUT), wheels, site.toolkit),
        deadline_s=60.0,
    )


def leaves(plan: Plan, lock: Lock) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    return tuple(pin.name for pin in _pins(lock))


def _pins(lock: Lock) -> tuple[Pin, ...]:
    """Return all pins but those of the optional package, which its own step tries."""
    return lock.required.pins


STEP = Step(
    number=50,
    name="vllm",
    title="vLLM",
    why="one lock for all of it: what was resolved together runs together",
    actions=actions,
    leaves=leaves,
)
