"""Puts a short load on a server, and reports what vLLM's own benchmark measures."""

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
_WARM_UPS = 8  # the first requests compile kernels
_AT_ONCE = 4  # the server's own limit: more requests would measure its queue
_DEADLINE_S = 180.0
_MISSING = re.compile(r"No module named '([\w.]+)'")
# Names in the benchmark's result, and ours.
_MEASURES = {
    "duration": "duration_s",
    "request_throughput": "requests_per_s",
    "output_throughput": "output_tokens_per_s",
    "median_ttft_ms": "median_ttft_ms",
    "p99_ttft_ms": "p99_ttft_ms",
    "median_tpot_ms": "median_tpot_ms",
    "p99_tpot_ms": "p99_tpot_ms",
}
_STATISTICS: dict[str, dict[str, str]] = {"median": {}, "p99": {"of": "p99"}}
_METHOD = (
    f"vllm bench serve against a server of a 2 MB model: {_PROMPTS} random prompts of {_INPUT} "
    f"tokens, {_AT_ONCE} at a time, {_OUTPUT} tokens each, streamed, on this host, after "
    f"{_WARM_UPS} requests to warm up; compare it with other runs here only"
)


def body(context: Context) -> Verdict:
    server = Server(context)
    if problem := server.wait():
        return Verdict(passed=False, summary=problem, evidence=server.evidence)
    file = Path(context.scratch) / "bench.json"
    status, output = _run_benchmark(context, server.url, file)
    problem_at_end = server.stop()
    problem, values = judge(file.read_text() if file.exists() else "", status, output)
    evidence = {**server.evidence, **values, "method": _METHOD}
    if problem := problem or problem_at_end:
        return Verdict(passed=False, summary=problem, evidence=evidence)
    return Verdict(
        passed=True,
        summary=f"{_PROMPTS} requests answered: {values['requests_per_s']:.1f} requests/s, "
        f"{values['output_tokens_per_s']:.0f} tokens/s, first token after "
        f"{values['median_ttft_ms']:.1f} ms, each next {values['median_tpot_ms']:.2f} ms",
        evidence=evidence,
        figures=figures(values),
    )


def figures(values: dict[str, Any]) -> tuple[Figure, ...]:
    rates = (
        ("requests per second", "requests/s", "requests_per_s"),
        ("output tokens per second", "tokens/s", "output_tokens_per_s"),
    )
    times = (("time to first token", "ttft_ms"), ("time per output token", "tpot_ms"))
    return (
        *(_timing.figure(name, [values[key]], unit, method=_METHOD) for name, unit, key in rates),
        *(
            _timing.figure(
                name, [values[f"{statistic}_{key}"]], "ms", better="lower", of=of, method=_METHOD
            )
            for name, key in times
            for statistic, of in _STATISTICS.items()
        ),
    )


def _run_benchmark(context: Context, url: str, file: Path) -> tuple[int, str]:
    """Return status and output; status -1 if the benchmark did not end in time."""
    module = [sys.executable, "-I", "-m", "vllm.entrypoints.cli.main"]
    command = [context.launcher] if context.launcher else module
    options = {
        "backend": "openai",
        "base-url": url,
        "model": _tiny_model.NAME,
        "tokenizer": str(Path(context.scratch) / _tiny_model.NAME),
        "dataset-name": "random",
        "random-input-len": _INPUT,
        "random-output-len": _OUTPUT,
        "num-prompts": _PROMPTS,
        "num-warmups": _WARM_UPS,
        "max-concurrency": _AT_ONCE,
        "seed": _tiny_model.SEED,
        "result-dir": str(file.parent),
        "result-filename": file.name,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    flags = ("--ignore-eos", "--save-result", "--disable-tqdm")
    try:
        done = subprocess.run(
            [*command, "bench", "serve", *words, *flags],
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


def judge(result: str, status: int, output: str) -> tuple[str, dict[str, Any]]:
    """Return a problem or "", and the values that the benchmark itself has written down."""
    if status == -1:
        return f"the benchmark did not end within {_DEADLINE_S:g} s", {}
    if missing := _MISSING.search(output):
        return f"vllm bench serve needs {missing[1]}, which this environment lacks", {}
    if status or not result:
        last = output.strip().splitlines()[-1:] or ["it printed nothing"]
        return f"vllm bench serve ended with status {status}: {last[0][:200]}", {}
    document = json.loads(result)
    values: dict[str, Any] = {
        **{ours: document.get(name) for name, ours in _MEASURES.items()},
        "completed": document.get("completed"),
        "asked": _PROMPTS,
        "output_tokens": document.get("total_output_tokens"),
    }
    # The benchmark leaves failed requests out of its averages.
    if values["completed"] != _PROMPTS:
        return f"of {_PROMPTS} requests {values['completed']} were answered", {}
    expected = _PROMPTS * _OUTPUT
    if values["output_tokens"] != expected:
        return f"{values['output_tokens']} tokens were generated, {expected} were requested", {}
    invalid = [name for name in _MEASURES.values() if not _is_measured(values[name])]
    if invalid:
        return f"the benchmark reports no {invalid[0]}", {}
    return "", values


def _is_measured(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0


CHECK = Check(
    title="vLLM under load",
    proves="a server answers every request of a short load; the benchmark's values are recorded",
    step=80,
    weight="should",
    profile="full",
    deadline_s=900,
    needs=Needs(packages=("torch", "vllm"), gpus=1),
    body=body,
)
