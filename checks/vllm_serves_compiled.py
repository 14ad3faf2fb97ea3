"""Checks that a server answers right as users start it: compiled, with graphs captured."""

from __future__ import annotations

import re
import time

from . import _tiny_model
from ._contract import Check, Context, Needs, Verdict
from ._right_answers import check_completion, warm_up
from ._server import Server

# Words of vLLM 0.32, and of "takes" in older ones; with others the log "tells neither".
_COMPILED = re.compile(r"torch\.compile (?:and initial profiling run )?(?:took|takes) ([\d.]+) s")
_CAPTURED = re.compile(r"Graph capturing finished in ([\d.]+) secs")
_HINT = (
    "the log of this check has the server's output; --enforce-eager serves without compilation, "
    "more slowly"
)


def body(context: Context) -> Verdict:
    server = Server(context, compiled=True)
    evidence = server.evidence
    if problem := server.wait():
        return Verdict(passed=False, summary=problem, evidence=evidence, hint=_HINT)
    began = time.monotonic()
    problem = warm_up(server.url)
    evidence["first_answer_s"] = round(time.monotonic() - began, 3)
    prompts = range(len(_tiny_model.PROMPTS))
    problem = problem or next(
        filter(None, (check_completion(server.url, number) for number in prompts)), ""
    )
    problem_at_end = server.stop()
    evidence |= {"compiled_s": server.find(_COMPILED), "captured_s": server.find(_CAPTURED)}
    if problem := problem or problem_at_end:
        return Verdict(passed=False, summary=problem, evidence=evidence, hint=_HINT)
    return Verdict(
        passed=True,
        summary=f"ready after {evidence['startup_s']:.1f} s"
        f"{describe(evidence['compiled_s'], evidence['captured_s'])}; "
        f"{len(prompts)} prompts completed right",
        # The time is no figure: the next start finds all of it compiled.
        evidence=evidence,
    )


def describe(compiled: list[str], captured: list[str]) -> str:
    """Return what the server's log says of compilation and graphs."""
    times = [f"compiled in {compiled[0]} s"] if compiled else []
    times += [f"graphs captured in {captured[0]} s"] if captured else []
    return f" ({', '.join(times)})" if times else " (its log tells neither compilation nor graphs)"


CHECK = Check(
    title="vLLM serves, compiled",
    proves="a server with vLLM's own defaults compiles the model, captures its graphs, and "
    "answers right",
    step=80,
    # A whole engine has not run on a GPU yet: until then this is not proved to be right itself.
    weight="should",
    profile="full",
    deadline_s=1500,  # a start that compiles the model, and a first request that compiles more
    needs=Needs(packages=("torch", "vllm"), gpus=1, tools=("c++ g++ clang++",)),
    body=body,
)
