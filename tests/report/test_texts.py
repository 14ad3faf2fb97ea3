"""The summary of a run in plain text."""

from __future__ import annotations

import msgspec

from provision.events import StepResult
from provision.report import as_text
from provision.report._model import Report
from provision.results import CheckResult
from tests.plan.described import plan

CHECKS = (
    CheckResult(
        name="record_whole", outcome="pass", summary="all as recorded", seconds=2.5, proves="files"
    ),
    CheckResult(
        name="vllm_serves",
        outcome="fail",
        summary="no answer",
        hint="look at its log",
        seconds=30.0,
        log="/data/logs/r/check-vllm_serves.log",
        lines=("OSError: address in use", "it died"),
    ),
    CheckResult(name="extensions_import", outcome="skip", summary="no GPU", hint="not shown"),
)
PREFIX = "/data/envs"
STEPS = (
    StepResult(number=40, name="torch", outcome="done", seconds=6.4),
    StepResult(
        number=50, name="vllm", outcome="failed", seconds=1.0, problem="uv said no\nand why"
    ),
)


def report() -> Report:
    return Report(
        run="20261120T000000Z-0000",
        started="2026-11-20T00:00:00Z",
        verdict="not verified",
        exit_code=1,
        host={},
        plan=plan(),
        generation="20261120T000000Z-0000",
        steps=STEPS,
        commands={"50-vllm": ("uv pip install x",)},
        checks=CHECKS,
    )


def test_the_verdict_comes_first_and_only_problems_have_hints() -> None:
    lines = as_text.text(report(), PREFIX).splitlines()
    assert lines[0] == "NOT VERIFIED (exit code 1)"
    text = "\n".join(lines)
    assert "vllm 0.33.0" in text
    assert "environment  /data/envs/20261120T000000Z-0000" in text
    assert "uv said no" in text
    assert "and why" not in text
    assert "look at its log" in text
    assert "not shown" not in text
    assert all(line == line.rstrip() for line in lines)


def test_a_failure_shows_the_lines_that_tell_why_and_its_log() -> None:
    for text in (as_text.text(report()), as_text.brief(report()), as_text.failures(report(), 80)):
        lines = [line.strip() for line in text.splitlines()]
        at = lines.index("| OSError: address in use")
        assert lines[at - 1] == "no answer"
        assert lines[at + 1 : at + 4] == [
            "| it died",
            "look at its log",
            "log: /data/logs/r/check-vllm_serves.log",
        ]


def test_what_failed_is_wrapped_and_not_cut() -> None:
    long = " ".join(f"word{number}" for number in range(60))
    source = msgspec.structs.replace(
        report(), checks=(CheckResult(name="a", outcome="fail", summary=long),)
    )
    text = as_text.brief(source, 60)
    assert max(map(len, text.splitlines())) <= 60
    assert long in " ".join(text.split())


def test_the_brief_summary_has_only_problems() -> None:
    text = as_text.brief(report())
    assert text.startswith("NOT VERIFIED (exit code 1)\n")
    assert "uv said no" in text
    assert "look at its log" in text
    assert "torch  " not in text
    assert "record_whole" not in text
    assert "extensions_import" not in text
