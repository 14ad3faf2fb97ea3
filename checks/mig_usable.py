"""Checks that MIG is off, or that every GPU is divided into instances."""

from __future__ import annotations

from . import _host
from ._contract import Context
from ._host import Observation


def look(context: Context) -> Observation:
    gpus = _host.fact(context.facts, "gpus")
    divided = [gpu["id"] for gpu in gpus if gpu["mig"] and gpu["slices"]]
    empty = [gpu["id"] for gpu in gpus if gpu["mig"] and not gpu["slices"]]
    whole = [gpu["id"] for gpu in gpus if not gpu["mig"]]
    unusable = "MIG is on and no instance exists, so nothing can run there"
    problems = _host.group_by_text([(gpu, unusable) for gpu in empty])
    if divided and whole:
        problems.append(
            f"GPU {', '.join(divided)} divided by MIG beside whole GPU {', '.join(whole)}: "
            "vLLM spans only whole ones"
        )
    return Observation(
        problems,
        f"every GPU is divided by MIG: {', '.join(divided)}" if divided else "MIG is off",
        {"cut": divided, "without_instances": empty, "whole": whole},
        hint=(
            "nvidia-smi mig -cgi ... -C creates instances; "
            "nvidia-smi -i GPU -mig 0 makes the GPU whole (both as root)"
        ),
    )


CHECK = _host.check(
    look,
    title="MIG",
    proves="no GPU is lost to MIG without instances, and whole and divided GPUs are not mixed",
    weight="should",
)
