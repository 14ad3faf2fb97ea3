"""Public cases and our own messages lead to their causes; quiet texts lead to none."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.diagnose import texts

# Users, paths, addresses and versions say nothing of a cause: a case with others is the same case.
_SWAPS = (
    (r"/home/USER|/root|/home/ubuntu", "/data/other"),
    (r"\bUSER\b", "jane"),
    (r"\bHOST\b", "node-17"),
    (r"/(?:usr/local|opt|workspace|workdir)/(?=[a-z_]*/?(?:lib|python|envs?|conda))", "/srv/x/"),
    (r"\bA\.B\.C\.D\b|\b10\.\d+\.\d+\.\d+\b", "192.168.7.9"),
    (r"\bNNN+\b|\bpid=\d+", "pid=4711"),
    (r"0xXXXX|XXXXXXXX|XXXX", "a1b2c3d4"),
    (r"\d\d-\d\d \d\d:\d\d:\d\d", "02-29 23:59:59"),
    (r"python3\.\d+", "python3.11"),
    (r"cpython-3\d+", "cpython-311"),
    (r"\b(GPU|rank|TP) ?\d\b", r"\1 5"),
    (r"(?<=[a-z]:)\d+(?=[\]:),])", "77"),
    (r"\bline \d+", "line 4711"),
    (r"\.(py|cu|cuh|cpp|cc|h):\d+", r".\1:4711"),
    (r"\b\d\d:\d\d:\d\d\b", "23:59:59"),
    (r"\b0x[0-9a-f]{4,}\b", "0xdeadbeef"),
    (r"\[rank ?\d\]", "[rank3]"),
    (r"\[\d+/\d+\]", "[7/9]"),
    (r"\b[A-Z][\w.-]*/[A-Z][\w.-]*\d(?:\.\d+)?B\b[\w.-]*", "Acme/Anvil-7B"),
    (r"GLIBC_2\.(\d\d)", "GLIBC_2.39"),
    (r"(?<![\d.])(\d+)\.(\d+)\.(\d+)(?![\d.-])", lambda m: f"{m[1]}.{m[2]}.{int(m[3]) + 1}"),
)


def swapped(text: str) -> str:
    for pattern, replacement in _SWAPS:
        text = re.sub(pattern, replacement, text)
    return text


def test_public_cases_lead_to_their_causes() -> None:
    """At least 95 in 100; benchmarks/diagnose.py prints every miss."""
    tried = [case for case in texts.cases().values() if case.get("log")]
    assert len(tried) > 115
    right = [
        texts.first(texts.diagnosed(texts.text_of(case), texts.host_of(case))) == case["cause_key"]
        for case in tried
    ]
    assert sum(right) >= 0.95 * len(tried)


@pytest.mark.parametrize("name", [n for n, case in texts.cases().items() if case.get("log")])
def test_the_verdict_stays_with_other_names_and_versions(name: str) -> None:
    case = texts.cases()[name]
    text, host = texts.text_of(case), texts.host_of(case)
    assert texts.first(texts.diagnosed(swapped(text), host)) == texts.first(
        texts.diagnosed(text, host)
    )


def test_most_cases_have_something_to_swap() -> None:
    logs = [case["log"] for case in texts.cases().values() if case.get("log")]
    assert sum(swapped(log) != log for log in logs) > 0.5 * len(logs)


@pytest.mark.parametrize("form", texts.forms(), ids=lambda form: form["cause"])
def test_messages_of_other_versions_and_programs(form: dict[str, Any]) -> None:
    told = texts.diagnosed(form["text"], texts.host_of(form))
    assert texts.first(told) == form["cause"]
    assert told.findings[0].evidence


def test_quiet_texts_have_no_confident_finding() -> None:
    parts = texts.quiet()
    assert len(parts) >= 100
    loud = {
        part[:80]: [
            finding.cause
            for finding in texts.diagnosed(part).findings
            if finding.confidence != "low"
        ]
        for part in parts
    }
    assert {part: causes for part, causes in loud.items() if causes} == {}


def test_all_quiet_texts_in_one_log_stay_quiet() -> None:
    """Words far apart do not add up to a cause, with all healthy starts in one file."""
    healthy = "\n".join(texts.quiet()[:36])
    confident = [f.cause for f in texts.diagnosed(healthy).findings if f.confidence != "low"]
    assert confident == []


def test_several_problems_in_one_log_are_all_found() -> None:
    text = (
        "Error: could not select device driver with capabilities: [[gpu]]\n" * 3
        + "INFO all is well\n" * 100
        + "OSError: [Errno 28] No space left on device: '/models/x'\n"
    )
    assert {f.cause for f in texts.diagnosed(text).findings} >= {
        "nvidia-container-toolkit-missing",
        "disk-full",
    }


def test_the_root_comes_before_what_follows_from_it() -> None:
    text = (
        "(EngineCore_DP0 pid=7) ImportError: libcudart.so.13: cannot open shared object file\n"
        "(EngineCore_DP0 pid=7) RuntimeError: Engine core initialization failed."
        " See root cause above. Failed core proc(s): {}\n"
        "RuntimeError: Cancelled\n"
    )
    told = texts.diagnosed(text)
    assert texts.first(told) == "vllm-wheel-cuda-major-mismatch"
    assert told.findings[0].evidence[0].line == 1


def test_an_unknown_failure_names_root_lines_and_what_to_collect() -> None:
    told = texts.diagnosed(
        "INFO start\nFrobnicationError: the flux is wrong\nRuntimeError: Engine core initialization"
        " failed. See root cause above.\n"
    )
    assert [line.line for line in told.root_lines] == [2]
    assert told.collect


@pytest.mark.parametrize(
    ("gpu", "cause"),
    [
        ("Tesla P100-PCIE-16GB", "gpu-arch-too-old-for-wheel"),
        ("NVIDIA GeForce RTX 5090", "gpu-too-new-for-torch-build"),
        ("Jetson AGX Orin", "gpu-arch-missing-in-build"),
    ],
)
def test_the_host_decides_between_look_alikes(gpu: str, cause: str) -> None:
    text = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
    told = texts.diagnosed(text, texts.host_of({"host": {"gpus": [gpu]}}))
    assert texts.first(told) == cause
    assert told.findings[0].host_facts
