"""Whether the OpenAI server starts, answers rightly in every way it is asked, and leaves nothing when it is stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any

from . import _gpu_memory, _openai, _planned_backend, _tiny_model
from ._contract import Check, Context, Needs, Verdict
from ._right_answers import ANSWER_S, chatted, completed, streamed
from ._server import Server

_COUNTED_S = 10.0
_AT_ONCE = 8


def body(context: Context) -> Verdict:
    before = _gpu_memory.held() if context.profile == "cuda" else {}
    server = Server(context)
    if problem := server.wait():
        return Verdict(passed=False, summary=problem, evidence=server.evidence, hint=_LOG)
    server.evidence["backend"] = server.backends()
    problem = next(_problems(server.url, server.evidence), "")
    ended = server.stop() or _gpu_memory.more_than(before)
    if problem := problem or ended:
        return Verdict(passed=False, summary=problem, evidence=server.evidence, hint=_LOG, figures=server.figures)
    found = server.evidence
    summary = f"ready after {found['startup_s']:.1f} s, answered {found['requests']} requests rightly, stopped in"
    summary = f"{summary} {found['stop_s']:.1f} s{_planned_backend.deviation(context, found['backend'])}"
    return Verdict(passed=True, summary=summary, evidence=found, figures=server.figures)


_LOG = "the server's own words are in the log of this check"


def _problems(url: str, evidence: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the answers; a green /health alone proves nothing."""
    told = _openai.ask(f"{url}/v1/models", seconds=ANSWER_S)
    names = [model.get("id") for model in told.document.get("data", []) if isinstance(model, dict)]
    if told.status != 200 or _tiny_model.NAME not in names:
        yield f"/v1/models answered {told.status} and does not name the model"
    before = _counters(url)
    began = time.monotonic()
    asked = [completed, chatted, streamed]
    for ask in asked:
        if problem := ask(url, 0):
            yield problem
    evidence["one_by_one_s"] = round(time.monotonic() - began, 3)
    began = time.monotonic()
    with ThreadPoolExecutor(_AT_ONCE) as at_once:
        numbers = list(islice(cycle(range(len(_tiny_model.PROMPTS))), _AT_ONCE))
        problems = [each for each in at_once.map(lambda number: completed(url, number), numbers) if each]
    evidence["at_once_s"] = round(time.monotonic() - began, 3)
    if problems:
        yield f"of {_AT_ONCE} requests at once, {len(problems)} failed: {problems[0]}"
    evidence["requests"] = len(asked) + _AT_ONCE
    yield from _miscounted(url, before, [0] * len(asked) + numbers, evidence)
    if (status := _openai.ask(f"{url}/health", seconds=ANSWER_S).status) != 200:
        yield f"/health answered {status} after {evidence['requests']} requests"


def _counters(url: str) -> dict[str, float]:
    told = _openai.metrics(_openai.ask(f"{url}/metrics", seconds=ANSWER_S).text)
    return {name: sum(values) for name, values in told.items()}


def _miscounted(url: str, before: dict[str, float], asked: list[int], evidence: dict[str, Any]) -> Iterator[str]:
    """The counters are for whoever watches a server: they move by what was asked, if a little later."""
    expected = {
        "vllm:prompt_tokens_total": sum(len(_tiny_model.PROMPTS[number]) for number in asked),
        "vllm:generation_tokens_total": _tiny_model.TOKENS * len(asked),
        "vllm:request_success_total": len(asked),
    }
    until = time.monotonic() + _COUNTED_S
    while True:
        now = _counters(url)
        moved = {name: now.get(name, 0.0) - before.get(name, 0.0) for name in expected}
        if moved == expected or time.monotonic() > until:
            break
        time.sleep(0.2)
    evidence["counted"] = moved
    if not any(name.startswith("vllm:") for name in now):
        yield "/metrics answers without a metric of vLLM"
    for name, count in expected.items():
        if moved[name] != count:
            yield f"/metrics counts {moved[name]:g} more in {name}, and {count} were asked for"


CHECK = Check(
    name="vllm_serves",
    title="vLLM serves",
    proves="the OpenAI server starts, answers rightly (whole, chat, streamed, 8 at once), counts it and stops cleanly",
    step=80,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=600,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
)
