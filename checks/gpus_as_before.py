"""Whether every GPU is still there that an earlier run found on this host."""

from __future__ import annotations

from typing import Any

from . import _host
from ._contract import Check, Context
from ._host import Found


def look(context: Context) -> Found:
    before, now = _by_bus(context.earlier), _by_bus(context.facts)
    lost = sorted(before.keys() - now.keys())
    if _allotted(context.facts):  # which GPUs a job or a container is given changes; what is off the bus is lost
        lost = [bus_id for bus_id in lost if bus_id not in _on_the_bus(context.facts)]
    moved = len(now.keys() - before.keys()) >= len(lost)
    evidence = {"before": before, "now": now, "lost": [] if moved else lost}
    if not before:
        return Found([], f"no earlier run knows of GPUs here; now there are {len(now)}", evidence)
    if moved or not lost:
        what = f"{len(now)} GPUs: " + (
            "as many as before, at other places" if lost else "all that an earlier run found"
        )
        if not lost and before.keys() - now.keys():
            what = f"{len(now)} of {len(before)} GPUs of an earlier run: those that this job or container was given"
        return Found([], what, evidence)
    xids = _host.known(context.facts, "xids") or []
    problems = [f"{before[bus_id]} at {bus_id} is gone{_last_words(bus_id, xids)}" for bus_id in lost]
    hint = "dmesg | grep -i xid says more; a reboot or a power cycle may bring it back, else it is a case for its maker"
    return Found(problems, "", evidence, hint)


def _by_bus(facts: dict[str, Any]) -> dict[str, str]:
    gpus = _host.known(facts, "gpus") or []
    return {gpu["bus_id"]: f"GPU {gpu['id']} ({gpu['name']})" for gpu in gpus if gpu["bus_id"]}


def _on_the_bus(facts: dict[str, Any]) -> set[str]:
    return {device["bus_id"] for device in _host.known(facts, "pci_gpus") or []}


def _allotted(facts: dict[str, Any]) -> bool:
    work = _host.known(facts, "scheduler") or {}
    return _host.in_container(facts) or work.get("place") in {"job", "pod"}


def _last_words(bus_id: str, xids: list[dict[str, Any]]) -> str:
    numbers = [str(xid["xid"]) for xid in xids if xid["bus_id"] == bus_id]
    return f"; the kernel's last word of it was Xid {numbers[-1]}" if numbers else ""


CHECK = Check(
    name="gpus_as_before",
    title="GPUs as before",
    proves="no GPU has gone since an earlier run on this host",
    step=10,
    weight="must",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
