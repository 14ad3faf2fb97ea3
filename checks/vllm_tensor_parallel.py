"""Checks that a model that is split over several GPUs answers as on one."""

from __future__ import annotations

import os
from dataclasses import replace

from . import _tiny_model
from ._contract import Check, Context, Needs, Verdict, whole_gpus
from ._right_answers import check_completion, warm_up
from ._server import Server

_WAYS = (8, 4, 2)  # numbers of parts into which the tiny model's heads can be split
_HINT = (
    "NCCL_DEBUG=INFO tells how the GPUs communicate; NCCL_P2P_DISABLE=1 and "
    "--disable-custom-all-reduce each exclude a way"
)


def body(context: Context) -> Verdict:
    ways = _parts(len(whole_gpus(context.gpus)))
    if context.profile == "cpu":
        # By default vLLM binds each part to a memory node of its own, which a small host lacks.
        # One thread each, since threads that spin would take the other part's cores.
        os.environ |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
    server = Server(context, tensor_parallel_size=ways)
    evidence = server.evidence
    evidence["tensor_parallel_size"] = ways
    if problem := server.wait():
        return Verdict(
            passed=False, summary=f"split {ways} ways, {problem}", evidence=evidence, hint=_HINT
        )
    prompts = len(_tiny_model.PROMPTS)
    problem = warm_up(server.url) or next(
        filter(None, (check_completion(server.url, number) for number in range(prompts))), ""
    )
    problem_at_end = server.stop()
    figures = tuple(replace(figure, of={"split": f"{ways} ways"}) for figure in server.figures)
    if problem := problem or problem_at_end:
        return Verdict(
            passed=False,
            summary=f"split {ways} ways, {problem}",
            evidence=evidence,
            hint=_HINT,
            figures=figures,
        )
    return Verdict(
        passed=True,
        summary=f"split {ways} ways, {prompts} prompts were completed as on one; "
        f"ready after {evidence['startup_s']:.1f} s",
        evidence=evidence,
        figures=figures,
    )


def _parts(gpus: int) -> int:
    """Return the largest number of parts that the GPUs allow; on the CPU two."""
    return next((ways for ways in _WAYS if ways <= gpus), 2)


CHECK = Check(
    title="vLLM on several GPUs",
    proves="a server that splits the model over the used GPUs completes prompts as one GPU does, "
    "and stops cleanly",
    step=80,
    profile="full",
    deadline_s=900,  # a start and a first request that compile
    needs=Needs(packages=("torch", "vllm"), gpus=2),
    body=body,
)
