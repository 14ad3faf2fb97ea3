"""Whether MIG is off, or every GPU with MIG is cut into instances and none is whole beside them."""

from __future__ import annotations

from . import _host
from ._contract import Check, Context
from ._host import Found


def look(context: Context) -> Found:
    gpus = _host.fact(context.facts, "gpus")
    cut = [gpu["id"] for gpu in gpus if gpu["mig"] and gpu["slices"]]
    empty = [gpu["id"] for gpu in gpus if gpu["mig"] and not gpu["slices"]]
    whole = [gpu["id"] for gpu in gpus if not gpu["mig"]]
    problems = _host.by_value([(gpu, "MIG is on and no instance exists, so nothing can run there") for gpu in empty])
    if cut and whole:
        problems.append(
            f"GPU {', '.join(cut)} cut by MIG beside whole GPU {', '.join(whole)}: vLLM spans only whole ones"
        )
    evidence = {"cut": cut, "without_instances": empty, "whole": whole}
    hint = "nvidia-smi mig -cgi ... -C makes instances; nvidia-smi -i GPU -mig 0 makes the GPU whole (both as root)"
    return Found(problems, f"every GPU is cut by MIG: {', '.join(cut)}" if cut else "MIG is off", evidence, hint)


CHECK = Check(
    name="mig_usable",
    title="MIG",
    proves="no GPU is lost to MIG without instances, and whole and cut GPUs are not mixed",
    step=10,
    weight="should",
    on="host",
    profile="passive",
    deadline_s=20,
    needs=_host.GPU,
    body=_host.judged(look),
)
