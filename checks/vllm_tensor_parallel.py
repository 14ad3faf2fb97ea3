"""Whether a model that is split over several GPUs answers as it does on one."""

from __future__ import annotations

import os
from dataclasses import replace

from . import _tiny_model
from ._contract import Check, Context, Needs, Verdict, whole
from ._right_answers import completed
from ._server import Server

_WAYS = (8, 4, 2)  # into which the tiny model's heads can be split


def body(context: Context) -> Verdict:
    ways = split(len(whole(context.gpus)))
    if context.profile == "cpu":
        # vLLM wants a memory node of its own for each part, unless it need not bind them; and one thread each,
        # for threads that spin keep the other parts off the same cores.
        os.environ |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
    server = Server(context, tensor_parallel_size=ways)
    server.evidence["tensor_parallel_size"] = ways
    if problem := server.wait():
        return Verdict(passed=False, summary=f"split {ways} ways, {problem}", evidence=server.evidence, hint=_HINT)
    answers = (completed(server.url, number) for number in range(len(_tiny_model.PROMPTS)))
    problem = next(filter(None, answers), "")
    ended = server.stop()
    figures = tuple(replace(one, of={"split": f"{ways} ways"}) for one in server.figures)
    if problem := problem or ended:
        summary = f"split {ways} ways, {problem}"
        return Verdict(passed=False, summary=summary, evidence=server.evidence, hint=_HINT, figures=figures)
    summary = f"split {ways} ways, {len(_tiny_model.PROMPTS)} prompts were completed as on one"
    summary += f"; ready after {server.evidence['startup_s']:.1f} s"
    return Verdict(passed=True, summary=summary, evidence=server.evidence, figures=figures)


_HINT = (
    "NCCL_DEBUG=INFO tells how the GPUs talk; NCCL_P2P_DISABLE=1 and --disable-custom-all-reduce each leave out a way"
)


def split(gpus: int) -> int:
    """As many ways as the GPUs allow; on the CPU two."""
    return next((ways for ways in _WAYS if ways <= gpus), 2)


CHECK = Check(
    name="vllm_tensor_parallel",
    title="vLLM on several GPUs",
    proves="a server that splits the model over the used GPUs completes prompts as one GPU does, and stops cleanly",
    step=80,
    weight="must",
    on="environment",
    profile="full",
    deadline_s=600,
    needs=Needs(packages=("torch", "vllm"), gpus=2),
    body=body,
)
