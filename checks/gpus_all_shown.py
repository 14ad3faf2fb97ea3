"""Checks that the driver shows every GPU that it holds on the bus: a hidden one has fallen off."""

from __future__ import annotations

from . import _host
from ._contract import Context
from ._host import Observation


def look(context: Context) -> Observation:
    facts = context.facts
    shown = {gpu["bus_id"] for gpu in _host.fact(facts, "gpus")}
    bound = [
        device["bus_id"] for device in _host.fact(facts, "pci_gpus") if device["driver"] == "nvidia"
    ]
    hidden = sorted(set(bound) - shown)
    evidence = {"on_the_bus": len(bound), "shown": len(shown), "not_shown": hidden}
    if _host.is_allotted(facts):
        return Observation(
            [],
            f"this container or job was given {len(shown)} of {len(bound)} GPUs on the bus",
            evidence,
        )
    if hidden and None in shown:
        raise _host.UnreadableFact(
            "the bus addresses of the GPUs could not be read from the driver"
        )
    return Observation(
        [
            f"the GPU at {bus_id} is bound to the nvidia driver and not shown by it"
            for bus_id in hidden
        ],
        f"the driver shows all {len(shown)} GPUs",
        evidence,
        hint=(
            "it fell off the bus or did not start: dmesg | grep -i xid; "
            "a reboot or a power cycle may bring it back"
        ),
    )


CHECK = _host.check(
    look,
    title="All GPUs shown",
    proves="the driver shows every NVIDIA GPU on the bus that it holds",
    weight="should",
)
