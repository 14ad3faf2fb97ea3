"""Whether the driver shows every GPU that it holds on the bus: one that is not shown has fallen off."""

from __future__ import annotations

from . import _host
from ._contract import Check, Context
from ._host import Found


def look(context: Context) -> Found:
    facts = context.facts
    shown = {gpu["bus_id"] for gpu in _host.fact(facts, "gpus")}
    bound = [device["bus_id"] for device in _host.fact(facts, "pci_gpus") if device["driver"] == "nvidia"]
    hidden = sorted(set(bound) - shown)
    evidence = {"on_the_bus": len(bound), "shown": len(shown), "not_shown": hidden}
    if _host.in_container(facts):
        return Found([], f"the GPUs that this container was given: {len(shown)} of {len(bound)} on the bus", evidence)
    if hidden and None in shown:
        raise _host.Unread("where its GPUs are on the bus the driver does not tell")
    problems = [f"the GPU at {bus_id} is bound to the nvidia driver and not shown by it" for bus_id in hidden]
    hint = "it fell off the bus or did not start: dmesg | grep -i xid; a reboot or a power cycle may bring it back"
    return Found(problems, f"the driver shows all {len(shown)} GPUs", evidence, hint)


CHECK = Check(
    name="gpus_all_shown",
    title="All GPUs shown",
    proves="every NVIDIA GPU on the bus that the driver holds is shown by it",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
