"""host/show.py: a recording on a screen: values, missing ones with the reason, and warnings."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from provision.doors.reading import Reading
from provision.host import show
from provision.host._model import Recording
from provision.host.record import discover


def rendered(readings: dict[str, Reading], width: int = 100) -> str:
    recording = Recording(taken="2026-11-20T06:00:00Z", tool="vllm-ready 0.1.0", readings=readings)
    text = io.StringIO()
    console = Console(
        file=text, width=width, color_system=None, highlight=False, emoji=False, markup=False
    )
    for part in show.table(recording):
        console.print(part)
    return text.getvalue()


def ok(value: object) -> Reading:
    return Reading(outcome="ok", text=value if isinstance(value, str) else json.dumps(value))


GPUS = [
    {"index": n, "name": "NVIDIA L4", "bus_id": f"00000000:0{n}:00.0", "cc": "8.9"} for n in (1, 2)
]
READINGS = {
    "command uname -m": ok("x86_64\n"),
    "file /sys/module/nvidia/version": ok("580.65.06\n"),
    "file /proc/driver/nvidia/version": ok(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.10.01  x\n"
    ),
    "probe nvml": ok({"driver": "580.65.06", "gpus": GPUS}),
    "probe pythons": Reading(outcome="timed out", detail="no answer within the deadline"),
    "file /proc/sys/kernel/osrelease": Reading(
        outcome="refused", detail="/proc: Permission denied"
    ),
}


def test_every_fact_has_its_line() -> None:
    lines = rendered({}).splitlines()
    for fact in discover():
        assert any(line.startswith(fact.title) for line in lines), fact.title


def test_values_are_read_at_a_glance() -> None:
    text = rendered(READINGS)
    lines = text.splitlines()
    assert any(line.split() == ["Machine", "x86_64"] for line in lines)
    (first,) = [number for number, line in enumerate(lines) if line.startswith("GPUs ")]
    assert "1, NVIDIA L4, compute capability 8.9, bus id 0000:01:00.0" in lines[first]
    assert lines[first + 1].strip().startswith("2, NVIDIA L4")
    assert "{" not in lines[first]


@pytest.mark.parametrize(
    "why", ["timed out: no answer within the deadline", "refused: /proc: Permission denied"]
)
def test_what_is_missing_says_why(why: str) -> None:
    assert why in rendered(READINGS)


def test_sources_that_disagree_are_named_below() -> None:
    last = rendered(READINGS, 200).splitlines()[-1]
    assert last.startswith("warning: /sys/module/nvidia/version says driver 580.65.06")
    assert "570.10.01" in last


def test_names_of_variables_are_left_as_they_are() -> None:
    text = rendered(
        {"probe environment": ok({"variables": {"CUDA_HOME": "/usr/local/cuda"}, "set": []})}
    )
    assert "CUDA_HOME=/usr/local/cuda" in text


def test_no_line_is_wider_than_the_terminal() -> None:
    assert max(map(len, rendered(READINGS, 60).splitlines())) <= 60


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (True, ["yes"]),
        (False, ["no"]),
        ([], ["none"]),
        ({}, ["none"]),
        ("a [b] c", ["a [b] c"]),
        ([{"id": "0", "cc": None, "slices": []}, {"id": "1", "ecc": False}], ["0", "1, no ECC"]),
        ({"free_gb": 0, "total_gb": 2.512}, ["0.0 GiB free, 2.5 GiB total"]),
        (
            {"memlock": {"soft": 8388608, "hard": None}, "nproc": {"soft": None, "hard": None}},
            ["memlock: 8 MiB, can be raised to unlimited", "nproc: unlimited"],
        ),
        (
            {
                "toolkits": [{"path": "/cuda", "version": "13.0"}],
                "wrappers": ["/nvcc"],
                "homes": {"CUDA_HOME": "/cuda"},
            },
            ["/cuda, 13.0", "wrapper /nvcc", "CUDA_HOME=/cuda"],
        ),
        (
            {
                "prefix": {"path": "/envs", "exists": False, "writable": True},
                "logs": {"path": "/logs", "exists": True},
            },
            ["prefix: /envs, does not exist yet, writable", "logs: /logs"],
        ),
        (
            {"cores": 1, "numa_nodes": 2, "flags": ["avx2", "amx"]},
            ["1 core, 2 NUMA nodes, flags avx2 amx"],
        ),
        (["a", ["b", "c"]], ["a", "b c"]),
    ],
)
def test_words_for_values(value: object, lines: list[str]) -> None:
    assert show._lines(value) == lines
