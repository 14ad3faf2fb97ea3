"""Step 60: the separate flash-attn package, if its wheel is locked: install it, and try it."""

from __future__ import annotations

from pathlib import Path

from provision.flash_attn.build_steps import NAMES
from provision.plan._model import Plan
from provision.steps.model import (
    Action,
    Lock,
    Need,
    Pin,
    Run,
    Site,
    Step,
    Write,
    fetch,
    requirements,
)

_OTHERWISE = "a wheel for this torch is taken or compiled instead"
TRY = Path(__file__).with_name("try_flash_attn.py")


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:
    """Return no action without a locked wheel: vLLM does not wait for one."""
    pins = lock.optional
    if not pins:
        return ()
    part = f"{site.state}/lock-flash-attn.txt"
    torch = lock.version("torch") or ""
    return (
        fetch(pins, site),
        *(_links(pin, torch, plan, site) for pin in pins),
        Write(title="the lock's part for flash-attn", path=part, text=requirements(pins)),
        Run(title=f"install {pins[0].name} {pins[0].version}", argv=site.install(part)),
        Run(
            title="try it beside torch and vLLM", argv=_attempt(plan, torch, site), deadline_s=600.0
        ),
    )


def _attempt(plan: Plan, torch: str, site: Site) -> tuple[str, ...]:
    # Flavour 4 has no kernels yet: they are compiled on the first call.
    if plan.flash_attn.flavour == "4":
        return (site.python, "-I", "-c", "import torch, vllm, flash_attn.cute")
    gpus = "" if site.elsewhere else ",".join(plan.gpus.used)
    return (
        site.python,
        "-I",
        str(TRY),
        "--torch",
        torch,
        "--gpus",
        gpus,
        *(("--flavour", "3") if plan.flash_attn.flavour == "3" else ()),
    )


def _links(pin: Pin, torch: str, plan: Plan, site: Site) -> Need:
    """Return the need that torch has the wheel's symbols.

    A wheel of flavour 2 was inspected when it came into the store; one of flavour 3 comes straight
    from an index, and is inspected here.
    """
    is_new = plan.flash_attn.flavour == "3"
    from_index = "flash_attn.flavour: 2 has other wheels, and is compiled where none fits"
    return Need(
        title="torch has what it was linked with",
        kind="torch's symbols",
        path=f"{site.wheels}/{pin.wheel.file}",
        beside=f"{site.generation}/lib/python{plan.python}/site-packages/torch/lib",
        version=torch,
        capabilities=plan.flash_attn.arches if is_new else (),
        glibc=plan.glibc if is_new else "",
        hint=from_index if is_new else _OTHERWISE,
    )


def leaves(plan: Plan, lock: Lock) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    return tuple(pin.name for pin in lock.optional)


STEP = Step(
    number=60,
    name="flash-attn",
    title="flash-attn",
    why="vLLM brings its own FlashAttention; a copy that does not match keeps vLLM from starting",
    actions=actions,
    leaves=leaves,
    optional=True,
    parts=NAMES,
)
