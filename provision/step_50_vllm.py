"""Step 50: vLLM and everything else of the lock; nothing is resolved again, so torch stays what it is."""

from __future__ import annotations

from pathlib import Path

from provision import step_40_torch
from provision.plan._model import Plan
from provision.steps import Action, Lock, Run, Site, Step, Write, fetch

LAY_OUT = Path(__file__).with_name("lay_out_toolkit.py")


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
    package = plan.packages["vllm"]
    version = package.version if package else ""
    before = step_40_torch.leaves(plan, lock)
    wheels = f"{site.generation}/lib/python{plan.python}/site-packages/nvidia/cu{(plan.cuda or '').split('.')[0]}"
    toolkit = Run(
        title="lay out the CUDA toolkit of the wheels",
        argv=(site.python, "-I", str(LAY_OUT), wheels, f"{site.generation}/cuda"),
        deadline_s=60.0,
    )
    return (
        fetch((pin for pin in lock.pins if pin.name not in before), site),
        Write(title="the lock", path=site.lock_file, text=lock.text),
        Run(
            title=f"install vLLM {version} and {len(lock.pins)} distributions in all",
            # --exact takes out what an interrupted installation of another lock may have left
            argv=site.install(site.lock_file, "--exact"),
        ),
        *((toolkit,) if plan.cuda else ()),
    )


def leaves(plan: Plan, lock: Lock) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    return tuple(pin.name for pin in lock.pins)


STEP = Step(
    number=50,
    name="vllm",
    title="vLLM",
    why="one lock for all of it: what was resolved together runs together",
    actions=actions,
    leaves=leaves,
)
