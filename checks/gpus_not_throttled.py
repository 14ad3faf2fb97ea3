"""Whether nothing slows a GPU down now that should not: heat, a power brake, the hardware itself."""

from __future__ import annotations

from . import _host
from ._contract import Check, Context
from ._host import Found

_HARMFUL = ("hardware slowdown", "software thermal slowdown", "hardware thermal slowdown", "power brake")


def look(context: Context) -> Found:
    states = _host.used(context, "gpu_throttling")
    slowed = [(state["id"], reason) for state in states for reason in _HARMFUL if reason in state["reasons"]]
    evidence = {"reasons": {state["id"]: state["reasons"] for state in states}}
    hint = "look at fans, air and power supply: nvidia-smi -q -d TEMPERATURE,POWER,PERFORMANCE"
    return Found(_host.by_value(slowed), "no GPU is slowed down by heat, power brake or hardware", evidence, hint)


CHECK = Check(
    name="gpus_not_throttled",
    title="No throttling",
    proves="at the time of the recording neither heat, a power brake nor the hardware slows a GPU down",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
