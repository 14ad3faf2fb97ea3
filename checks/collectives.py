"""Whether several GPUs, or several processes on a CPU, come to the right sum together; and if not, what breaks it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import _pairs, _ranks
from ._contract import Check, Context, Needs, Verdict, whole

_WITHOUT = {"NCCL_P2P_DISABLE": "1"}
_SAID = "NCCL_P2P_DISABLE=1"


def body(context: Context) -> Verdict:
    """gloo over two processes where there is no GPU: the code around it is the same."""
    importlib.import_module("torch.distributed")  # without it nothing is decided, and no sum is wrong
    backend, count = ("gloo", 2) if context.profile == "cpu" else ("nccl", len(whole(context.gpus)))

    def one(number: int, environment: dict[str, str]) -> _ranks.Try:
        return _ranks.go({"backend": backend, "count": count}, Path(context.scratch) / str(number), environment)

    return replace(judged(one, backend, count, context.facts), gpus=whole(context.gpus))


def judged(
    one: Callable[[int, dict[str, str]], _ranks.Try], backend: str, count: int, facts: dict[str, Any]
) -> Verdict:
    """What is wrong is tried again without peer-to-peer: that tells the links from the rest."""
    first = one(1, {})
    version = next((word["version"] for words in first.said for word in words if "version" in word), "")
    with_what = f"NCCL {version}".strip() if backend == "nccl" else backend
    evidence = {"with": with_what, "ranks": count, "try": first.evidence(), "set": _set()}
    if first.how == "healthy":
        where = f"{count} GPUs" if backend == "nccl" else f"{count} processes"
        summary = f"all-reduce, all-gather and reduce-scatter up to 16 MiB are right on {where} ({with_what})"
        return Verdict(passed=True, summary=summary, evidence=evidence)
    if backend != "nccl":
        return Verdict(passed=False, summary=first.what, evidence=evidence)
    control = one(2, _WITHOUT)
    said, hint = blamed(first, control, facts)
    return Verdict(passed=False, summary=said, evidence=evidence | {f"with {_SAID}": control.evidence()}, hint=hint)


def blamed(first: _ranks.Try, control: _ranks.Try, facts: dict[str, Any]) -> tuple[str, str]:
    """What both tries together say, and what to do."""
    if control.how == "healthy":
        hint = f"{_pairs.suspect(facts)}; until then {_SAID} lets vLLM run, more slowly; see peer_copies for the pair"
        return f"{first.what}; it works with {_SAID}: peer-to-peer is broken", hint
    if control.how == "died":
        return f"{first.what}; inconclusive: with {_SAID} {control.what}", _OTHERS
    if control.how == first.how:
        return f"{first.what}; the same with {_SAID}, so it is not peer-to-peer: {control.what}", _OTHERS
    return f"{first.what}; otherwise with {_SAID}: {control.what}", _OTHERS


_OTHERS = (
    "NCCL_DEBUG=INFO names the transport; look at the size of /dev/shm, the fabric manager and Xid in the kernel log"
)


def _set() -> dict[str, str]:
    """What of NCCL's settings came with the environment."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith("NCCL_")}


CHECK = Check(
    name="collectives",
    title="GPUs work together",
    proves="all-reduce, all-gather and reduce-scatter over all used GPUs give the right values and do not hang",
    step=40,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=900,
    needs=Needs(packages=("torch",), gpus=2),
    body=body,
    every_gpu=True,
)
