"""Checks that no other process computes on the GPUs in use."""

from __future__ import annotations

from . import _host
from ._contract import Context
from ._host import Observation


def look(context: Context) -> Observation:
    used = {gpu.partition(":")[0] for gpu in context.gpus}
    others = [
        process for process in _host.fact(context.facts, "gpu_processes") if process["id"] in used
    ]
    problems = [
        f"GPU {process['id']}: {process['name'] or 'an invisible process'} (PID {process['pid']})"
        + (f" holds {process['memory_mib']} MiB" if process["memory_mib"] is not None else "")
        for process in sorted(others, key=lambda process: -(process["memory_mib"] or 0))
    ]
    return Observation(
        problems,
        "no other process computes on these GPUs",
        {"processes": others},
        hint=(
            "vLLM takes the share of memory that --gpu-memory-utilization names, "
            "and fails if other processes hold it"
        ),
    )


CHECK = _host.check(
    look,
    title="GPUs free of others",
    proves="no other process computes on the GPUs in use",
    weight="should",
)
