"""Checks that the driver's management library (NVML) answers."""

from __future__ import annotations

from . import _host
from ._contract import Context
from ._host import Observation

_FIXES = {
    "version mismatch": "a reboot gives kernel module and library one version again",
    "driver not loaded": "modprobe nvidia as root; if that fails, dmesg says why",
    "no library": "in a container: start it with its GPUs; "
    "else the driver's user-space package is missing",
    "no permission": "this user may not open /dev/nvidia*: "
    "look at their modes and at the container's device rules",
    "timed out": "the driver hangs: dmesg names an Xid or a stuck task; "
    "usually only a reboot helps",
}


def look(context: Context) -> Observation:
    nvml = _host.fact(context.facts, "nvml")
    state = nvml["state"]
    if state == "no library" and _host.all_integrated(context):
        return Observation([], "this board has no NVML; its GPU is known by other means", nvml)
    problems = [] if state == "ok" else [f"NVML: {nvml['detail'] or state}"]
    return Observation(
        problems,
        f"NVML answers; its driver runs CUDA up to {nvml['cuda'] or 'an unknown version'}",
        nvml,
        _FIXES.get(state, "nvidia-smi and dmesg say more"),
    )


CHECK = _host.check(
    look,
    title="NVML answers",
    proves="the driver's management library answers",
    weight="must",
)
