"""Whether nobody holds a GPU's clocks or power below what it came with."""

from __future__ import annotations

from typing import Any

from . import _host
from ._contract import Check, Context
from ._host import Found


def look(context: Context) -> Found:
    clocks = _host.used(context, "gpu_clocks")
    states = _host.known(context.facts, "gpu_throttling") or []
    reasons = {state["id"]: state["reasons"] for state in states}
    lowered = [(each["id"], said) for each in clocks for said in _lowered(each, reasons.get(each["id"], []))]
    evidence = {"clocks": {each["id"]: each for each in clocks}, "reasons": reasons}
    hint = "as root: nvidia-smi -rac (application clocks), -rgc (locked clocks), -pl WATTS (power limit)"
    return Found(_host.by_value(lowered), "clocks and power limits are as the GPUs came", evidence, hint)


def _lowered(each: dict[str, Any], reasons: list[str]) -> list[str]:
    said = []
    # The default counts, not the maximum: an A100 comes with 1275 MHz set and runs at 1410 all the same.
    if _below(each["application"], each["application_default"]):
        said.append(f"application clocks are set to {each['application']} MHz of {each['application_default']}")
    elif "application clocks" in reasons and "idle" not in reasons and _below(each["sm"], each["application"]):
        said.append(f"its clock is locked at {each['sm']} MHz")
    if _below(each["power_w"], each["power_default_w"]):
        said.append(f"its power is limited to {each['power_w']:.0f} of {each['power_default_w']:.0f} W")
    return said


def _below(now: float | None, default: float | None) -> bool:
    return now is not None and default is not None and now < default


CHECK = Check(
    name="clocks_as_delivered",
    title="Clocks",
    proves="no GPU's application clocks, locked clocks or power limit are below what it came with",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
