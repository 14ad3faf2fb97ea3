"""A verified run on two GPUs as JSON, for tests that change one thing in it."""

from __future__ import annotations

import copy
import functools
from typing import Any

import msgspec

from provision.plan._model import Plan
from provision.report._model import Report
from tests.plan.described import plan

Document = dict[str, Any]

GPU = {
    "name": "NVIDIA H100 80GB HBM3",
    "cc": "9.0",
    "memory_gb": 79.6,
    "mig": False,
    "slices": [],
    "ecc": True,
}
LINK = {"width": 16, "width_max": 16, "generation": 5, "generation_max": 5}
HELD = {"soft": 8388608, "hard": 8388608}
CHECKS = {
    "matmul": "products as in 64 bits, on every GPU",
    "sdpa": "every attention of torch as in 64 bits",
    "speed_attention": "how fast attention is",
    "speed_matmul": "how fast products are",
    "attention_backend": "vLLM takes the planned attention backend",
    "vllm_generates": "vLLM generates the tokens that plain torch computes",
    "vllm_serves": "a server of vLLM answers with the same tokens",
    "shm": "shared memory is large enough",
    "collectives": "NCCL adds up right",
    "record_whole": "every file is as recorded",
}


def facts() -> Document:
    gpus = [
        {**GPU, "id": str(i), "bus_id": f"0000:{17 + i}:00.0", "link": dict(LINK)} for i in range(2)
    ]
    clocks = {
        "sm": 345,
        "sm_max": 1980,
        "application": 1980,
        "power_w": 700.0,
        "power_default_w": 700.0,
    }
    errors = {"uncorrected": 0, "uncorrected_ever": 0, "remap_pending": 0}
    return {
        "driver": {
            "version": "570.124",
            "on_disk": "570.124",
            "library": "570.124",
            "flavour": "open",
        },
        "kernel": "6.8.0-40-generic",
        "kernel_modules": [{"kernel": "6.8.0-40-generic", "nvidia": True}],
        "nvml": {"state": "ok", "detail": "", "cuda": "12.8"},
        "gpus": gpus,
        "pci_gpus": [
            {"bus_id": gpu["bus_id"], "device_id": "2330", "driver": "nvidia"} for gpu in gpus
        ],
        "gpu_clocks": [{"id": gpu["id"], **clocks} for gpu in gpus],
        "gpu_memory_errors": [{"id": gpu["id"], **errors} for gpu in gpus],
        "gpu_throttling": [{"id": gpu["id"], "reasons": ["idle"]} for gpu in gpus],
        "gpu_processes": [],
        "gpu_links": {"pairs": [{"a": "0", "b": "1", "kind": "NV18"}], "nvswitch": True},
        "fabric_manager": {"version": "570.124", "running": True, "enabled": True},
        "xids": [],
        "limits": {"memlock": dict(HELD), "nofile": {"soft": 1024, "hard": None}},
        "memory": {"total_gb": 2015.5, "available_gb": 1800.1, "limit_gb": None},
        "disks": {
            "prefix": {
                "path": "/data",
                "exists": True,
                "type": "ext4",
                "total_gb": 900.0,
                "free_gb": 400.0,
            }
        },
        "shm": {"total_gb": 1007.7, "free_gb": 1007.7},
        "environment": {"NCCL_DEBUG": "WARN"},
        "cpu": {"model": "Xeon", "cores": 96, "flags": ["avx2", "avx512f"], "numa_nodes": 2},
        "wsl": False,
        "selinux": {"type": "Missing", "why": "absent", "detail": "no SELinux"},
        "os_release": {"id": "ubuntu", "version": "24.04"},
    }


def figures() -> list[Document]:
    documents = []
    for gpu in "01":
        of = {"on": f"GPU {gpu}", "way": "FLASH_ATTN", "tokens": "4096", "pass": "forward"}
        documents.append(measured("speed_attention", "attention", of, 540.0, 0.011))
        documents.append(
            measured(
                "speed_matmul", "matmul", {"on": f"GPU {gpu}", "type": "bfloat16"}, 700.0, 0.02
            )
        )
        documents.append(word("attention_backend", "backend", {"on": f"GPU {gpu}"}, "FLASH_ATTN"))
    documents.append(word("vllm_generates", "tokens", {"model": "tiny"}, "17 4 99 23"))
    start = {
        "check": "vllm_serves",
        "name": "start",
        "of": {},
        "value": 30.0,
        "unit": "s",
        "better": "lower",
    }
    return [*documents, {**start, "samples": [30.0], "repeats": 1, "method": "until it answers"}]


def measured(check: str, name: str, of: dict[str, str], value: float, spread: float) -> Document:
    samples = [value * (1 + spread * (i - 5) / 8) for i in range(11)]
    number = {
        "value": value,
        "unit": "TFLOP/s",
        "better": "higher",
        "samples": samples,
        "repeats": 11,
    }
    return {"check": check, "name": name, "of": of, **number, "method": "events"}


def word(check: str, name: str, of: dict[str, str], value: str) -> Document:
    return {"check": check, "name": name, "of": of, "value": value, "better": "same"}


@functools.cache
def _planned() -> Plan:
    return plan("{name: NVIDIA H100 80GB HBM3, count: 2}")


def document() -> Document:
    """Return a fresh copy of the run."""
    planned = msgspec.to_builtins(_planned())
    counted: Document = dict.fromkeys(CHECKS, 0)
    for figure in figures():
        counted[figure["check"]] += 1
    checks = [
        {
            "name": name,
            "outcome": "pass",
            "proves": proves,
            "summary": "as it should be",
            "seconds": 2.5,
            "every_gpu": name in ("matmul", "sdpa"),
            "gpus": [] if name in ("record_whole", "shm") else ["0", "1"],
            "measured": counted[name],
        }
        for name, proves in CHECKS.items()
    ]
    versions = {
        "torch": "2.13.0",
        "vllm": "0.33.0",
        "flash-attn": "2.8.3",
        "numpy": "2.2.0",
        "triton": "3.5.0",
    }
    packages = {
        name: {"version": version, "sha256": f"{i:016x}"}
        for i, (name, version) in enumerate(versions.items())
    }
    flash_attn = {
        **planned["flash_attn"],
        "mode": "wheel",
        "wheel": "flash_attn-2.8.3-py3-none-any.whl",
    }
    planned = {
        **planned,
        "flash_attn": flash_attn,
        "checks": list(CHECKS),
        "cuda": "12.9",
        "python": "3.12",
    }
    planned["attention"] = [
        {"gpu": gpu, "backend": "FLASH_ATTN", "code": "native", "why": "first"} for gpu in "01"
    ]
    return copy.deepcopy(
        {
            "schema": "vllm-ready/report/1",
            "run": "20261101T000000Z-aaaa",
            "started": "2026-11-01T00:00:00Z",
            "seconds": 300.0,
            "tool": "0.1.0",
            "verdict": "verified",
            "exit_code": 0,
            "host": {
                "platform": "x86_64-manylinux_2_39",
                "id": "0123456789abcdef",
                "facts": facts(),
            },
            "plan": planned,
            "generation": "20261101T000000Z-aaaa",
            "packages": packages,
            "gpus": ["0", "1"],
            "steps": [],
            "promised": list(CHECKS),
            "checks": checks,
            "figures": figures(),
        }
    )


def read(of: Document) -> Report:
    return msgspec.convert(of, Report)


def check(of: Document, name: str) -> Document:
    match: Document = next(check for check in of["checks"] if check["name"] == name)
    return match


def figure(of: Document, check_name: str, on: str = "") -> Document:
    match: Document = next(
        figure
        for figure in of["figures"]
        if figure["check"] == check_name and figure["of"].get("on", "") in (on, "")
    )
    return match
