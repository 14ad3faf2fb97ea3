"""Step 50: install vLLM and the rest of the lock; nothing is resolved again, so torch stays."""

from __future__ import annotations

from pathlib import Path

from provision.plan._model import Plan
from provision.steps import step_40_torch
from provision.steps.model import Action, Lock, Run, Site, Step, Write, fetch, requirements

LAY_OUT = Path(__file__).with_name("lay_out_toolkit.py")


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
    package = plan.packages["vllm"]
    of_torch = step_40_torch.leaves(plan, lock)
    pins = lock.required.pins  # the optional step installs and tries the rest
    return (
        # Step 40 has fetched torch's part already.
        fetch((pin for pin in pins if pin.name not in of_torch), site),
        Write(title="the lock", path=site.lock_file, text=requirements(pins)),
        Run(
            title=f"install vLLM {package.version if package else ''} "
            f"and {len(pins)} distributions in all",
            argv=site.install(site.lock_file),  # without --exact: packages added by hand stay
        ),
        *((lay_out_toolkit(plan, site),) if plan.cuda else ()),
    )


def lay_out_toolkit(plan: Plan, site: Site) -> Run:
    """Return the action that makes the CUDA wheels usable as CUDA_HOME."""
    packages = f"{site.generation}/lib/python{plan.python}/site-packages"
    return Run(
        title="lay out the CUDA toolkit of the wheels",
        argv=(
            site.python,
            "-I",
            str(LAY_OUT),
            f"{packages}/nvidia/cu{(plan.cuda or '').split('.')[0]}",
            site.toolkit,
        ),
        deadline_s=60.0,
    )


def leaves(plan: Plan, lock: Lock) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    return tuple(pin.name for pin in lock.required.pins)


STEP = Step(
    number=50,
    name="vllm",
    title="vLLM",
    why="one lock for everything: what was resolved together runs together",
    actions=actions,
    leaves=leaves,
)
