"""Step 70: set where models are kept and how the hub stays offline; no token is written."""

from __future__ import annotations

import shlex
from typing import Final

from provision.plan._model import Plan
from provision.steps.model import Action, Lock, Need, Site, Step, Write

# This text is hashed into fingerprints. The token stays in the hub's own store, even though the
# models move to the prefix.
_SETTINGS: Final = """\
# Where the Hugging Face hub keeps models; part of env.sh. HF_TOKEN and HF_ENDPOINT are taken from your environment.
if [ -z "${HF_HOME:-}" ]; then
    vllm_ready_default HF_TOKEN_PATH "${XDG_CACHE_HOME:-${HOME:-}/.cache}/huggingface/token"
    vllm_ready_default HF_HOME @CACHE@
fi
# A host without the hub: touch @SWITCH@
[ ! -e @SWITCH@ ] || vllm_ready_default HF_HUB_OFFLINE 1
"""


def actions(plan: Plan, lock: Lock, site: Site) -> tuple[Action, ...]:  # noqa: ARG001 - the contract's signature
    cache, switch = f"{site.prefix}/cache/huggingface", f"{site.prefix}/offline"
    text = _SETTINGS.replace("@CACHE@", shlex.quote(cache)).replace("@SWITCH@", shlex.quote(switch))
    return (
        Need(
            title="locks where models are kept",
            kind="locks",
            path=site.models or cache,
            hint="name a folder on a file system with locks: --prefix DIR, or set HF_HOME",
        ),
        Write(title="the hub's settings", path=f"{site.generation}/env-huggingface.sh", text=text),
    )


def leaves(plan: Plan, lock: Lock) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    return tuple(pin.name for pin in lock.pins if pin.name in ("huggingface-hub", "hf-xet"))


STEP = Step(
    number=70,
    name="huggingface",
    title="Hugging Face hub",
    why="models do not fit into home folders, and two downloads at once need working locks",
    actions=actions,
    leaves=leaves,
)
