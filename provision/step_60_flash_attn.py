"""Step 60: the separate flash-attn package: what the plan decided about it, and why."""

from __future__ import annotations

import msgspec

from provision.plan._model import Plan
from provision.steps import Action, Lock, Site, Step, Write


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:  # noqa: ARG001 - the contract's signature
    """vLLM does not wait for it: this step installs nothing and leaves the decision for whoever brings it."""
    package = plan.packages.get("flash-attn")
    planned = f"{package.version}, {plan.flash_attn.mode}" if package else "none"
    text = msgspec.json.format(msgspec.json.encode(plan.flash_attn), indent=1).decode() + "\n"
    title = f"planned: {planned}; not installed here, and vLLM does not need it" if package else "planned: none"
    return (Write(title=title, path=f"{site.state}/flash-attn.json", text=text),)


STEP = Step(
    number=60,
    name="flash-attn",
    title="flash-attn",
    why="vLLM brings its own FlashAttention; a copy that does not match keeps vLLM from starting",
    actions=actions,
)
