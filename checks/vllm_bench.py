"""What a server does under a short load, as vLLM's own benchmark reports it, and whether every request is answered."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import _timing, _tiny_model
from ._contract import Check, Context, Figure, Needs, Verdict
from ._server import Server, environment

_PROMPTS, _INPUT, _OUTPUT = 64, 32, 16
_AT_ONCE = 4  # as many as the server takes: more would measure its queue
_DEADLINE_S = 180.0
_MISSING = re.compile(r"No module named '([\w.]+)'")
_TOLD = {
    "duration": "duration_s",
    "request_throughput": "requests_per_s",
    "output_throughput": "output_tokens_per_s",
    "median_ttft_ms": "median_ttft_ms",
    "p99_ttft_ms": "p99_ttft_ms",
    "median_tpot_ms": "median_tpot_ms",
    "p99_tpot_ms": "p99_tpot_ms",
}
_OF: dict[str, dict[str, str]] = {"median": {}, "p99": {"of": "p99"}}
_METHOD = (
    f"vllm bench serve against a server of a 2 MB model: {_PROMPTS} random prompts of {_INPUT} tokens, {_AT_ONCE} at a"
    f" time, {_OUTPUT} tokens each, streamed, on this host, without a warm-up; compare it with other runs here only"
)


def body(context: Context) -> Verdict:
    server = Server(context)
    if problem := server.wait():
        return Verdict(passed=False, summary=problem, evidence=server.evidence)
    result = Path(context.scratch) / "bench.json"
    status, said = _benched(context, server.url, result)
    ended = server.stop()
    problem, found = judged(result.read_text() if result.exists() else "", status, said)
    evidence = {**server.evidence, **found, "method": _METHOD}
    if problem := problem or ended:
        return Verdict(passed=False, summary=problem, evidence=evidence)
    speed = f"{found['requests_per_s']:.1f} requests/s, {found['output_tokens_per_s']:.0f} tokens/s"
    late = f"first token after {found['median_ttft_ms']:.1f} ms, each next {found['median_tpot_ms']:.2f} ms"
    summary = f"{_PROMPTS} requests answered: {speed}, {late}"
    return Verdict(passed=True, summary=summary, evidence=evidence, figures=figures(found))


def figures(found: dict[str, Any]) -> tuple[Figure, ...]:
    rates = (
        ("requests per second", "requests/s", "requests_per_s"),
        ("output tokens per second", "tokens/s", "output_tokens_per_s"),
    )
    times = (("time to first token", "ttft_ms"), ("time per output token", "tpot_ms"))
    return (
        *(_timing.figure(name, [found[key]], unit, method=_METHOD) for name, unit, key in rates),
        *(
            _timing.figure(name, [found[f"{which}_{key}"]], "ms", better="lower", of=of, method=_METHOD)
            for name, key in times
            for which, of in _OF.items()
        ),
    )


def _benched(context: Context, url: str, result: Path) -> tuple[int, str]:
    """Status and output of the benchmark; status -1 where it did not end in time."""
    model = str(Path(context.scratch) / _tiny_model.NAME)
    command = [context.launcher] if context.launcher else [sys.executable, "-I", "-m", "vllm.entrypoints.cli.main"]
    asked = {
        "backend": "openai",
        "base-url": url,
        "model": _tiny_model.NAME,
        "tokenizer": model,
        "dataset-name": "random",
        "random-input-len": _INPUT,
        "random-output-len": _OUTPUT,
        "num-prompts": _PROMPTS,
        "max-concurrency": _AT_ONCE,
        "seed": _tiny_model.SEED,
        "result-dir": str(result.parent),
        "result-filename": result.name,
    }
    words = [word for name, value in asked.items() for word in (f"--{name}", str(value))]
    try:
        done = subprocess.run(
            [*command, "bench", "serve", *words, "--ignore-eos", "--save-result", "--disable-tqdm"],
            env=environment(context),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return -1, str(late.stdout or "")
    print(done.stdout, flush=True)
    return done.returncode, done.stdout


def judged(result: str, status: int, said: str) -> tuple[str, dict[str, Any]]:
    """What is wrong, if anything, and the figures that the benchmark itself has written down."""
    if status == -1:
        return f"the benchmark did not end within {_DEADLINE_S:g} s", {}
    if missing := _MISSING.search(said):
        return f"vllm bench serve needs {missing[1]}, which this environment lacks", {}
    if status or not result:
        last = said.strip().splitlines()[-1:] or ["it said nothing"]
        return f"vllm bench serve ended with status {status}: {last[0][:200]}", {}
    told = json.loads(result)
    found: dict[str, Any] = {ours: told.get(name) for name, ours in _TOLD.items()}
    found |= {"completed": told.get("completed"), "asked": _PROMPTS, "output_tokens": told.get("total_output_tokens")}
    if found["completed"] != _PROMPTS:
        return f"of {_PROMPTS} requests {found['completed']} were answered", {}
    if found["output_tokens"] != _PROMPTS * _OUTPUT:
        return f"{found['output_tokens']} tokens came, {_PROMPTS * _OUTPUT} were asked for", {}
    if odd := [name for name in _TOLD.values() if not _measured(found[name])]:
        return f"the benchmark reports no {odd[0]}", {}
    return "", found


def _measured(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0


CHECK = Check(
    name="vllm_bench",
    title="vLLM under load",
    proves="a server answers every request of a short load; what vLLM's own benchmark reports of it is written down",
    step=80,
    weight="should",
    on="environment",
    profile="full",
    deadline_s=720,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
)
