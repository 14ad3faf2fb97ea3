"""Whether the driver answers through NVML, in its own words if not."""

from __future__ import annotations

from . import _host
from ._contract import Check, Context
from ._host import Found

_FIXES = {
    "version mismatch": "a reboot makes the kernel module and the library one version again",
    "driver not loaded": "modprobe nvidia as root; dmesg says why where that fails",
    "no library": "in a container: start it with its GPUs; else the driver's user-space package is missing",
    "no permission": "this user may not open /dev/nvidia*: look at their modes and at the container's device rules",
    "timed out": "the driver hangs: dmesg names an Xid or a stuck task; a reboot is the usual way out",
}


def look(context: Context) -> Found:
    nvml = _host.fact(context.facts, "nvml")
    if nvml["state"] == "no library" and _host.integrated(context):
        return Found([], "this board has no NVML; its GPU is known by other means", nvml)
    problems = [] if nvml["state"] == "ok" else [f"NVML: {nvml['detail'] or nvml['state']}"]
    holds = f"NVML answers; its driver runs CUDA up to {nvml['cuda'] or 'a version that it does not tell'}"
    return Found(problems, holds, nvml, _FIXES.get(nvml["state"], "nvidia-smi and dmesg say more"))


CHECK = Check(
    name="nvml_answers",
    title="NVML answers",
    proves="the driver's management library answers",
    step=10,
    weight="must",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
