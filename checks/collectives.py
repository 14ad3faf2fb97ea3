"""Checks that several GPUs reach the right sums together, and names what breaks them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import _pairs, _ranks
from ._contract import Check, Context, Needs, Verdict, whole_gpus
from ._ranks import GroupRun

_WITHOUT_P2P = {"NCCL_P2P_DISABLE": "1"}
_SETTING = "NCCL_P2P_DISABLE=1"
_OTHER_CAUSES = (
    "NCCL_DEBUG=INFO names the transport; look at the size of /dev/shm, the fabric manager "
    "and Xid in the kernel log"
)

# Runs the group with a number for its folder, and environment variables.
Run = Callable[[int, dict[str, str]], GroupRun]


def body(context: Context) -> Verdict:
    importlib.import_module("torch.distributed")  # an error without it, and not a wrong sum
    gpus = whole_gpus(context.gpus)
    # On a CPU, gloo over two processes tries at least the same code around it.
    backend, count = ("gloo", 2) if context.profile == "cpu" else ("nccl", len(gpus))

    def run(number: int, environment: dict[str, str]) -> GroupRun:
        return _ranks.run_group(
            {"backend": backend, "count": count}, Path(context.scratch) / str(number), environment
        )

    return replace(judge(run, backend, count, context.facts), gpus=gpus)


def judge(run: Run, backend: str, count: int, facts: dict[str, Any]) -> Verdict:
    """Run the group; if it fails, run it again without peer-to-peer to tell the cause."""
    first = run(1, {})
    versions = (
        message["version"] for own in first.messages for message in own if "version" in message
    )
    library = f"NCCL {next(versions, '')}".strip() if backend == "nccl" else backend
    settings = {
        name: value for name, value in sorted(os.environ.items()) if name.startswith("NCCL_")
    }
    evidence = {"with": library, "ranks": count, "try": first.evidence(), "set": settings}
    if first.outcome == "healthy":
        return Verdict(
            passed=True,
            summary=f"all-reduce, all-gather and reduce-scatter up to 16 MiB are right on {count} "
            f"{'GPUs' if backend == 'nccl' else 'processes'} ({library})",
            evidence=evidence,
        )
    if backend != "nccl":
        return Verdict(passed=False, summary=first.problem, evidence=evidence)
    control = run(2, _WITHOUT_P2P)
    summary, hint = blame(first, control, facts)
    evidence |= {f"with {_SETTING}": control.evidence()}
    return Verdict(passed=False, summary=summary, evidence=evidence, hint=hint)


def blame(first: GroupRun, control: GroupRun, facts: dict[str, Any]) -> tuple[str, str]:
    """Return the conclusion from both runs, and the hint."""
    if control.outcome == "healthy":
        return f"{first.problem}; it works with {_SETTING}: peer-to-peer is broken", (
            f"{_pairs.describe_suspects(facts)}; until then {_SETTING} lets vLLM run, "
            "more slowly; see peer_copies for the pair"
        )
    if control.outcome == "died":
        text = f"inconclusive: with {_SETTING} {control.problem}"
    elif control.outcome == first.outcome:
        text = f"the same with {_SETTING}, so it is not peer-to-peer: {control.problem}"
    else:
        text = f"otherwise with {_SETTING}: {control.problem}"
    return f"{first.problem}; {text}", _OTHER_CAUSES


CHECK = Check(
    title="GPUs work together",
    proves="all-reduce, all-gather and reduce-scatter over all used GPUs "
    "give the right values and do not hang",
    step=40,
    deadline_s=900,
    needs=Needs(packages=("torch",), gpus=2),
    body=body,
    every_gpu=True,
)
