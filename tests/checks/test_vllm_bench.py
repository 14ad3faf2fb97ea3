"""vllm_bench: the values are the benchmark's own, and a failed request is never averaged away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checks.vllm_bench import judge
from provision.engine.launch_checks import CheckContext
from tests.checks.environments import SmallEnvironment
from tests.checks.pretended_vllm import pretend
from tests.checks.twins import twin_of

GOOD: dict[str, Any] = {
    "completed": 64,
    "total_output_tokens": 1024,
    "duration": 0.5,
    "request_throughput": 128.0,
    "output_throughput": 2048.0,
    "median_ttft_ms": 20.0,
    "p99_ttft_ms": 30.0,
    "median_tpot_ms": 2.5,
    "p99_tpot_ms": 3.5,
}


def bench(environment: SmallEnvironment, body: str) -> CheckContext:
    """Write a `vllm` that serves like the stand-in; its benchmark runs the given code."""
    launcher = environment.folder / "bin" / "vllm"
    launcher.write_text(
        f"#!{environment.python}\nimport json, runpy, sys, urllib.request\nverb = sys.argv.pop(1)\nif verb == 'serve':\n"
        "    sys.argv.pop(1)\n    runpy.run_module('vllm.entrypoints.openai.api_server', run_name='__main__')\n"
        "assert (verb, sys.argv.pop(1)) == ('bench', 'serve')\nsettings = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "result = open(settings['--result-dir'] + '/' + settings['--result-filename'], 'w')\n"
        "urllib.request.urlopen(settings['--base-url'] + '/health')\n"
        f"{body}\n"
    )
    launcher.chmod(0o755)
    pretend(environment)
    return CheckContext(profile="cpu", launcher=str(launcher))


def test_figures_are_the_benchmarks_own(tmp_path: Path) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    context = bench(environment, f"result.write({json.dumps(json.dumps(GOOD))})")
    tried = environment.tried("vllm_bench", context)
    (result,) = tried.checks
    assert result.outcome == "pass", result.summary
    assert result.summary == (
        "64 requests answered: 128.0 requests/s, 2048 tokens/s, first token after 20.0 ms, each next 2.50 ms"
    )
    assert result.evidence["p99_tpot_ms"] == 3.5
    assert "64 random prompts of 32 tokens, 4 at a time" in result.evidence["method"]
    assert "left_running" not in result.evidence
    assert [
        (figure.name, figure.of, figure.value, figure.unit, figure.better, figure.repeats)
        for figure in tried.figures
    ] == [
        ("requests per second", {}, 128.0, "requests/s", "higher", 1),
        ("output tokens per second", {}, 2048.0, "tokens/s", "higher", 1),
        ("time to first token", {}, 20.0, "ms", "lower", 1),
        ("time to first token", {"of": "p99"}, 30.0, "ms", "lower", 1),
        ("time per output token", {}, 2.5, "ms", "lower", 1),
        ("time per output token", {"of": "p99"}, 3.5, "ms", "lower", 1),
    ]


@twin_of("vllm_bench")
def test_a_missing_package_is_named(tmp_path: Path) -> None:
    environment = SmallEnvironment(tmp_path / "env")
    result = environment.check("vllm_bench", bench(environment, "import pandas_that_nobody_has"))
    message = "vllm bench serve needs pandas_that_nobody_has, which this environment lacks"
    assert (result.outcome, result.summary) == ("warn", message)
    assert "left_running" not in result.evidence


@pytest.mark.parametrize(
    ("change", "status", "message", "problem"),
    [
        ({}, 0, "", ""),
        ({"completed": 63}, 0, "", "of 64 requests 63 were answered"),
        ({"total_output_tokens": 1000}, 0, "", "1000 tokens were generated, 1024 were requested"),
        ({"median_tpot_ms": 0.0}, 0, "", "the benchmark reports no median_tpot_ms"),
        ({"request_throughput": float("nan")}, 0, "", "the benchmark reports no requests_per_s"),
        (
            {},
            2,
            "usage\nno such option: --ignore-eos\n",
            "ended with status 2: no such option: --ignore-eos",
        ),
        ({}, -1, "", "the benchmark did not end within 180 s"),
    ],
)
def test_wrong_results_are_reported(
    change: dict[str, Any], status: int, message: str, problem: str
) -> None:
    result, figures = judge(json.dumps({**GOOD, **change}), status, message)
    assert problem in result
    assert bool(result) == bool(problem)
    assert bool(figures) != bool(problem)
