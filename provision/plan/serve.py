"""The command that serves a model on a host with this plan."""

from __future__ import annotations

import shlex

from provision.plan._model import Plan

COMPILED = "vllm_serves_compiled"  # the check that starts a server as this command does
CPU_SHARE = "0.2"  # of the memory of the host, as in the check vllm_serves


def command(plan: Plan, prefix: str, model: str = "MODEL") -> str:
    """Return the `vllm serve` command, ready to paste.

    It sets tensor parallelism, and the attention backend where vLLM would choose a wrong one.
    """
    words = [shlex.quote(f"{prefix}/current/bin/vllm"), "serve", model]
    if plan.profile == "cpu":  # by default vLLM takes nearly all of the memory for its KV cache
        words += ["--gpu-memory-utilization", CPU_SHARE]
        if not _compiles(plan):
            words += ["--enforce-eager"]
    # MIG slices cannot work together: tensor parallelism counts whole GPUs.
    whole = [gpu for gpu in plan.gpus.used if ":" not in gpu]
    if len(whole) > 1:
        words += ["--tensor-parallel-size", str(_power_of_two(len(whole)))]
    forced = {
        attention.backend
        for attention in plan.attention
        if "--attention-backend" in attention.warning
    }
    if forced:
        words += ["--attention-backend", *sorted(forced)]
    visible = (
        f"CUDA_VISIBLE_DEVICES={','.join(plan.gpus.used)} "
        if plan.gpus.used and plan.gpus.excluded
        else ""
    )
    return visible + " ".join(words)


def _compiles(plan: Plan) -> bool:
    """Return whether vLLM compiles models here; on a CPU that needs a C++ compiler."""
    return plan.profile == "cuda" or not plan.checks or "torch_compiles" in plan.checks


def untried(plan: Plan) -> str:
    """Return what this command does and the promised checks do not, with the check that does."""
    if not _compiles(plan):
        return ""
    graphs = " and CUDA graphs" if plan.profile == "cuda" else ""
    return f"compiled mode{graphs}: not tried (./setup.sh check --profile full)"


def _power_of_two(gpus: int) -> int:
    """Round down to a power of two: attention heads seldom divide by 3, 5, 6 or 7."""
    return 1 << (gpus.bit_length() - 1)
