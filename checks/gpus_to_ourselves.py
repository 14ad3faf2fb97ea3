"""Whether nobody else computes on the GPUs that are used."""

from __future__ import annotations

from . import _host
from ._contract import Check, Context
from ._host import Found


def look(context: Context) -> Found:
    wanted = {gpu.partition(":")[0] for gpu in context.gpus}
    others = [each for each in _host.fact(context.facts, "gpu_processes") if each["id"] in wanted]
    problems = [
        f"GPU {each['id']}: {each['name'] or 'a process out of sight'} (PID {each['pid']})"
        + (f" holds {each['memory_mib']} MiB" if each["memory_mib"] is not None else "")
        for each in sorted(others, key=lambda each: -(each["memory_mib"] or 0))
    ]
    hint = "vLLM takes the share of memory that --gpu-memory-utilization names, and fails where others hold it"
    return Found(problems, "nobody else computes on these GPUs", {"processes": others}, hint)


CHECK = Check(
    name="gpus_to_ourselves",
    title="GPUs free of others",
    proves="no other process computes on the GPUs that are used",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
