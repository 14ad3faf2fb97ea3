"""Step 40: torch with its CUDA libraries, and the constraints that hold it against every later installation."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from provision.plan._model import Plan
from provision.steps.model import Action, Lock, Run, Site, Step, Write, fetch, requirements

_CUDA: Final = ("nvidia-", "cuda-")
# What torch imports besides its own libraries: with these `import torch` works after this step.
_NEEDED: Final = frozenset(
    {
        *("torch", "triton", "filelock", "fsspec", "jinja2", "markupsafe", "mpmath"),
        *("networkx", "numpy", "setuptools", "sympy", "typing-extensions"),
    }
)


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
    pins = lock.some(leaves(plan, lock))
    part, held = f"{site.state}/lock-torch.txt", f"{site.state}/constraints.txt"
    return (
        fetch(pins, site),
        Write(title="the lock's part for torch", path=part, text=requirements(pins)),
        Run(title=f"install torch {lock.version('torch')}", argv=site.install(part)),
        Write(
            title="constraints that hold torch",
            path=held,
            text="".join(f"{pin.name}=={pin.version}\n" for pin in pins if _is_held(pin.name)),
        ),
        # An address, since pip splits a path at its spaces. Whoever runs pip in this environment is held by it.
        Write(
            title="pip's settings here",
            path=f"{site.generation}/pip.conf",
            text=f"[global]\nconstraint = file://{quote(held)}\n",
        ),
    )


def leaves(plan: Plan, lock: Lock) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    return tuple(pin.name for pin in lock.pins if pin.name in _NEEDED or pin.name.startswith(_CUDA))


def _is_held(name: str) -> bool:
    return name in ("torch", "triton") or name.startswith(_CUDA)


STEP = Step(
    number=40,
    name="torch",
    title="PyTorch",
    why="everything compiled that follows must match this one torch",
    actions=actions,
    leaves=leaves,
)
