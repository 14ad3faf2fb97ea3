"""Checks that every GPU of an earlier run on this host is still there."""

from __future__ import annotations

from typing import Any

from . import _host
from ._contract import Context
from ._host import Observation

_HINT = (
    "dmesg | grep -i xid says more; a reboot or a power cycle may bring it back, "
    "else return it to its maker"
)


def look(context: Context) -> Observation:
    facts = context.facts
    before, now = _by_bus(context.earlier), _by_bus(facts)
    if not before:
        return Observation(
            [],
            f"no earlier run knows of GPUs here; now there are {len(now)}",
            {"before": before, "now": now, "lost": []},
        )
    missing = sorted(before.keys() - now.keys())
    # Jobs and containers get other GPUs each time; only one that is off the bus is lost.
    devices = (_host.optional_fact(facts, "pci_gpus") or []) if _host.is_allotted(facts) else []
    lost = sorted(set(missing) - {device["bus_id"] for device in devices})
    moved = len(now.keys() - before.keys()) >= len(lost)
    evidence = {"before": before, "now": now, "lost": [] if moved else lost}
    if lost and moved:
        return Observation([], f"{len(now)} GPUs: as many as before, at other places", evidence)
    if not lost:
        some = (
            f"{len(now)} of {len(before)} GPUs of an earlier run: "
            "those that this job or container was given"
        )
        every = f"{len(now)} GPUs: all that an earlier run found"
        return Observation([], some if missing else every, evidence)
    xids = _host.optional_fact(facts, "xids") or []
    problems = [f"{before[bus_id]} at {bus_id} is gone{_last_xid(bus_id, xids)}" for bus_id in lost]
    return Observation(problems, "", evidence, _HINT)


def _by_bus(facts: dict[str, Any]) -> dict[str, str]:
    gpus = _host.optional_fact(facts, "gpus") or []
    return {gpu["bus_id"]: f"GPU {gpu['id']} ({gpu['name']})" for gpu in gpus if gpu["bus_id"]}


def _last_xid(bus_id: str, xids: list[dict[str, Any]]) -> str:
    numbers = [str(xid["xid"]) for xid in xids if xid["bus_id"] == bus_id]
    return f"; the last Xid in the kernel log for it is {numbers[-1]}" if numbers else ""


CHECK = _host.check(
    look,
    title="GPUs as before",
    proves="no GPU has gone since an earlier run on this host",
    weight="must",
)
