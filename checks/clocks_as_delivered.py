"""Checks that no setting holds a GPU's clocks or power below what it was delivered with."""

from __future__ import annotations

from typing import Any

from . import _host
from ._contract import Context
from ._host import Observation


def look(context: Context) -> Observation:
    clocks = _host.used_gpus(context, "gpu_clocks")
    states = _host.optional_fact(context.facts, "gpu_throttling") or []
    reasons = {state["id"]: state["reasons"] for state in states}
    lowered = [
        (gpu["id"], text) for gpu in clocks for text in _lowered(gpu, reasons.get(gpu["id"], []))
    ]
    return Observation(
        _host.group_by_text(lowered),
        "clocks and power limits are as the GPUs were delivered",
        {"clocks": {gpu["id"]: gpu for gpu in clocks}, "reasons": reasons},
        "as root: nvidia-smi -rac (application clocks), -rgc (locked clocks), "
        "-pl WATTS (power limit)",
    )


def _lowered(gpu: dict[str, Any], reasons: list[str]) -> list[str]:
    application, default = gpu["application"], gpu["application_default"]
    texts = []
    # Compared with the default and not with the maximum: an A100 is delivered with 1275 MHz set,
    # and runs at 1410 all the same.
    if _is_below(application, default):
        texts.append(f"application clocks are set to {application} MHz of {default}")
    # An idle GPU has low clocks, too; these are no lock.
    elif (
        _is_below(gpu["sm"], application)
        and "application clocks" in reasons
        and "idle" not in reasons
    ):
        texts.append(f"its clock is locked at {gpu['sm']} MHz")
    power, full_power = gpu["power_w"], gpu["power_default_w"]
    if _is_below(power, full_power):
        texts.append(f"its power is limited to {power:.0f} of {full_power:.0f} W")
    return texts


def _is_below(now: float | None, default: float | None) -> bool:
    return now is not None and default is not None and now < default


CHECK = _host.check(
    look,
    title="Clocks",
    proves="application clocks, locked clocks and the power limit are no lower than as delivered",
    weight="should",
)
