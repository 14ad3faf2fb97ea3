"""Checks that the OpenAI server starts, answers right in every way, and stops cleanly."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any

from . import _gpu_memory, _openai, _planned_backend, _tiny_model
from ._contract import Check, Context, Needs, Verdict
from ._right_answers import ANSWER_S, check_chat, check_completion, check_stream, warm_up
from ._server import Server

# The server updates its counters at intervals.
_COUNTED_S = 10.0
_AT_ONCE = 8  # twice the server's own limit, so that some requests wait
_LOG = "the log of this check has the server's output"


def body(context: Context) -> Verdict:
    before = _gpu_memory.unaccounted() if context.profile == "cuda" else {}
    server = Server(context)
    evidence = server.evidence
    if problem := server.wait():
        return Verdict(passed=False, summary=problem, evidence=evidence, hint=_LOG)
    evidence["backend"] = server.backends()
    problem = next(_problems(server.url, evidence), "")
    # The server is stopped in any case, but the first problem is the one to report.
    problem_at_end = server.stop() or _gpu_memory.describe_growth(before)
    figures = server.figures
    if problem := problem or problem_at_end:
        return Verdict(passed=False, summary=problem, evidence=evidence, hint=_LOG, figures=figures)
    deviation = _planned_backend.describe_deviation(context, evidence["backend"])
    return Verdict(
        passed=True,
        summary=f"ready after {evidence['startup_s']:.1f} s, answered {evidence['requests']} "
        f"requests right, stopped in {evidence['stop_s']:.1f} s{deviation}",
        evidence=evidence,
        figures=figures,
    )


def _problems(url: str, evidence: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the answers; a green /health alone proves nothing."""
    models = _openai.ask(f"{url}/v1/models", seconds=ANSWER_S)
    names = [
        model.get("id") for model in models.document.get("data", []) if isinstance(model, dict)
    ]
    if models.status != 200 or _tiny_model.NAME not in names:
        yield f"/v1/models answered {models.status} and does not name the model"
    before = _counters(url)
    if problem := warm_up(url):
        yield problem
    before, _ = _wait_for(url, before, {"vllm:request_success_total": 1})
    began = time.monotonic()
    ways = [check_completion, check_chat, check_stream]
    for check in ways:
        if problem := check(url, 0):
            yield problem
    evidence["one_by_one_s"] = round(time.monotonic() - began, 3)
    began = time.monotonic()
    numbers = list(islice(cycle(range(len(_tiny_model.PROMPTS))), _AT_ONCE))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        problems = list(
            filter(None, pool.map(lambda number: check_completion(url, number), numbers))
        )
    evidence["at_once_s"] = round(time.monotonic() - began, 3)
    if problems:
        yield f"of {_AT_ONCE} requests at once, {len(problems)} failed: {problems[0]}"
    evidence["requests"] = len(ways) + _AT_ONCE
    yield from _wrong_counters(url, before, [0] * len(ways) + numbers, evidence)
    status = _openai.ask(f"{url}/health", seconds=ANSWER_S).status
    if status != 200:
        yield f"/health answered {status} after {evidence['requests']} requests"


def _wait_for(
    url: str, before: dict[str, float], growth: dict[str, int]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the counters and their growth once that is as given, or after the deadline."""
    until = time.monotonic() + _COUNTED_S
    while True:
        now = _counters(url)
        grown = {name: now.get(name, 0.0) - before.get(name, 0.0) for name in growth}
        if grown == growth or time.monotonic() > until:
            return now, grown
        time.sleep(0.2)


def _counters(url: str) -> dict[str, float]:
    values = _openai.metrics(_openai.ask(f"{url}/metrics", seconds=ANSWER_S).text)
    return {name: sum(rows) for name, rows in values.items()}


def _wrong_counters(
    url: str, before: dict[str, float], prompts: list[int], evidence: dict[str, Any]
) -> Iterator[str]:
    """Yield the counters that did not grow by what was requested."""
    expected = {
        "vllm:prompt_tokens_total": sum(len(_tiny_model.PROMPTS[number]) for number in prompts),
        "vllm:generation_tokens_total": _tiny_model.TOKENS * len(prompts),
        "vllm:request_success_total": len(prompts),
    }
    now, growth = _wait_for(url, before, expected)
    evidence["counted"] = growth
    if not any(name.startswith("vllm:") for name in now):
        yield "/metrics answers without a metric of vLLM"
    for name, count in expected.items():
        if growth[name] != count:
            yield f"/metrics counts {growth[name]:g} more in {name}, and {count} were requested"


CHECK = Check(
    title="vLLM serves",
    proves="the OpenAI server starts, answers right (whole, chat, streamed, 8 at once), "
    "counts requests and stops cleanly",
    step=80,
    deadline_s=900,  # a start and a first request that compile
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
)
