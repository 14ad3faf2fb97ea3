"""Checks that the fabric manager runs, in the driver's version, on hosts with NVSwitches."""

from __future__ import annotations

import re
from typing import Any

from . import _host
from ._contract import Context
from ._host import Observation

# The switches of these GPUs, and with them the fabric manager, are not on the compute node.
_MANAGED_ELSEWHERE = re.compile(r"\bGB[23]00\b")
_IMEX = "systemctl status nvidia-imex, and the fabric manager on the switch trays, say more"


def look(context: Context) -> Observation:
    facts = context.facts
    manager: dict[str, Any] = _host.optional_fact(facts, "fabric_manager") or {}
    states = {gpu["id"]: gpu["state"] for gpu in _host.optional_fact(facts, "gpu_fabric") or []}
    evidence = {"fabric_manager": manager, "fabric": states}
    if _host.all_integrated(context) or not _has_switches(facts):
        return Observation([], "no NVSwitches here, so no fabric manager is needed", evidence)
    problems = _host.group_by_text(
        [
            (gpu, f"registration with the NVLink fabric: {state}")
            for gpu, state in states.items()
            if state not in {"completed", "not supported"}
        ]
    )
    if any(_MANAGED_ELSEWHERE.search(gpu["name"]) for gpu in _host.used_gpus(context)):
        return Observation(
            problems, "the NVSwitches of these GPUs are managed elsewhere", evidence, _IMEX
        )
    driver, version = _host.fact(facts, "driver")["version"], manager.get("version")
    running = manager.get("running")
    if running is False:
        problems.append("the fabric manager does not run")
    if version and version != driver:
        problems.append(
            f"the fabric manager is {version} and the driver {driver}: they must be the same"
        )
    if running is None and "completed" not in states.values() and not _host.in_container(facts):
        problems.append("the GPUs are joined by NVSwitches, and no fabric manager was found")
    holds = (
        f"the fabric manager {version or driver} runs" if running else "the GPUs joined the fabric"
    )
    if not running and not states:
        holds = "the fabric manager is outside of this container; no sign that it is stopped"
    return Observation(
        problems,
        holds,
        evidence,
        hint=(
            f"install it as {driver}; systemctl enable --now nvidia-fabricmanager: "
            "without it CUDA ends in error 802"
        ),
    )


def _has_switches(facts: dict[str, Any]) -> bool:
    switches = _host.fact(facts, "gpu_links")["nvswitch"]
    if switches is None:
        raise _host.UnreadableFact(
            "whether NVSwitches join the GPUs could not be read: NVML does not answer"
        )
    return bool(switches)


CHECK = _host.check(
    look,
    title="Fabric manager",
    proves="on hosts with NVSwitches, the fabric manager is not known to be stopped "
    "or of another version",
    weight="must",
)
