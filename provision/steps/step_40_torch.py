"""Step 40: install torch with its CUDA libraries, and constraints that protect it later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from provision.plan._model import Plan
from provision.steps.model import Action, Lock, Run, Site, Step, Write, fetch, requirements

_CUDA: Final = ("nvidia-", "cuda-")
_HELD: Final = frozenset({"torch", "torchaudio", "torchvision", "triton", "vllm"})
# The distributions that torch imports: with these, `import torch` works after this step.
_NEEDED: Final = frozenset(
    {
        *("torch", "triton", "filelock", "fsspec", "jinja2", "markupsafe", "mpmath"),
        *("networkx", "numpy", "setuptools", "sympy", "typing-extensions"),
    }
)


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
    pins = lock.some(leaves(plan, lock))
    part, constraints = f"{site.state}/lock-torch.txt", f"{site.state}/constraints.txt"
    return (
        fetch(pins, site),
        Write(title="the lock's part for torch", path=part, text=requirements(pins)),
        Run(title=f"install torch {lock.version('torch')}", argv=site.install(part)),
        Write(
            title="constraints that hold torch",
            path=constraints,
            text="".join(f"{line}\n" for line in _constraints(plan, lock)),
        ),
        # Holds every later pip in this environment. A URL, since pip splits a path at its spaces.
        Write(
            title="pip's settings here",
            path=f"{site.generation}/pip.conf",
            text=f"[global]\nconstraint = file://{quote(constraints)}\n",
        ),
    )


def _constraints(plan: Plan, lock: Lock) -> Iterator[str]:
    """Yield the pins that a later pip must not change."""
    # Environments without pip are of an earlier version, and must keep their fingerprints.
    held = _HELD if lock.version("pip") else frozenset({"torch", "triton"})
    for pin in lock.pins:
        if pin.name in held or pin.name.startswith(_CUDA):
            yield f"{pin.name}=={pin.version}"
    vllm = plan.packages.get("vllm")
    if lock.version("pip") and vllm and vllm.distribution not in (None, "vllm"):
        # Both have the same files: the distribution `vllm` would overwrite those of the other.
        yield f"{vllm.distribution}=={vllm.version}"
        yield "vllm<0"


def leaves(plan: Plan, lock: Lock) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    return tuple(pin.name for pin in lock.pins if pin.name in _NEEDED or pin.name.startswith(_CUDA))


STEP = Step(
    number=40,
    name="torch",
    title="PyTorch",
    why="everything compiled that is installed later must match this torch",
    actions=actions,
    leaves=leaves,
)
