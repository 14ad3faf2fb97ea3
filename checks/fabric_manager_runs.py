"""Whether the fabric manager runs, in the driver's version, where GPUs meet in NVSwitches."""

from __future__ import annotations

import re
from typing import Any

from . import _host
from ._contract import Check, Context
from ._host import Found

# Their switches, and the fabric manager with them, are not on the compute node.
_ELSEWHERE = re.compile(r"\bGB[23]00\b")


def look(context: Context) -> Found:
    facts = context.facts
    manager: dict[str, Any] = _host.known(facts, "fabric_manager") or {}
    fabric = {gpu["id"]: gpu["state"] for gpu in _host.known(facts, "gpu_fabric") or []}
    evidence = {"fabric_manager": manager, "fabric": fabric}
    if _host.integrated(context) or not _switched(facts):
        return Found([], "no NVSwitches here, so no fabric manager is needed", evidence)
    if any(_ELSEWHERE.search(gpu["name"]) for gpu in _host.used(context)):
        return Found(_unregistered(fabric), "the NVSwitches of these GPUs are managed elsewhere", evidence, _IMEX)
    loaded, version = _host.fact(facts, "driver")["version"], manager.get("version")
    problems = _unregistered(fabric)
    if manager.get("running") is False:
        problems.append("the fabric manager does not run")
    if version and version != loaded:
        problems.append(f"the fabric manager is {version} and the driver {loaded}: they must be the same")
    if manager.get("running") is None and "completed" not in fabric.values() and not _host.in_container(facts):
        problems.append("the GPUs meet in NVSwitches, and no fabric manager was found")
    holds = f"the fabric manager {version or loaded} runs" if manager.get("running") else "the GPUs joined the fabric"
    if not manager.get("running") and not fabric:
        holds = "the fabric manager is outside of this container, and nothing seen from here says that it is stopped"
    hint = f"install it as {loaded}; systemctl enable --now nvidia-fabricmanager: without it CUDA ends in error 802"
    return Found(problems, holds, evidence, hint)


_IMEX = "systemctl status nvidia-imex, and the fabric manager on the switch trays, say more"


def _switched(facts: dict[str, Any]) -> bool:
    switched = _host.fact(facts, "gpu_links")["nvswitch"]
    if switched is None:
        raise _host.Unread("whether the GPUs meet in NVSwitches nobody tells: NVML does not answer")
    return bool(switched)


def _unregistered(fabric: dict[str, str]) -> list[str]:
    return _host.by_value(
        [
            (gpu, f"registration with the NVLink fabric: {state}")
            for gpu, state in fabric.items()
            if state not in {"completed", "not supported"}
        ]
    )


CHECK = Check(
    name="fabric_manager_runs",
    title="Fabric manager",
    proves="where GPUs meet in NVSwitches, nothing tells that their fabric manager is stopped or of another version",
    step=10,
    weight="must",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
