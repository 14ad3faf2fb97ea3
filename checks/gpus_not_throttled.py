"""Checks that neither heat, a power brake nor the hardware slows a GPU down now."""

from __future__ import annotations

from . import _host
from ._contract import Context
from ._host import Observation

# Other reasons, such as "idle" and "power cap", are part of normal operation.
_HARMFUL = (
    "hardware slowdown",
    "software thermal slowdown",
    "hardware thermal slowdown",
    "power brake",
)


def look(context: Context) -> Observation:
    states = _host.used_gpus(context, "gpu_throttling")
    return Observation(
        _host.group_by_text(
            [
                (state["id"], reason)
                for state in states
                for reason in _HARMFUL
                if reason in state["reasons"]
            ]
        ),
        "no GPU is slowed down by heat, power brake or hardware",
        {"reasons": {state["id"]: state["reasons"] for state in states}},
        "look at fans, air and power supply: nvidia-smi -q -d TEMPERATURE,POWER,PERFORMANCE",
    )


CHECK = _host.check(
    look,
    title="No throttling",
    proves="neither heat, a power brake nor the hardware slowed a GPU down "
    "at the time of the recording",
    weight="should",
)
