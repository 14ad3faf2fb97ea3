"""A report of a large host for tests and benchmarks: 8 GPUs, 200 checks, all figures."""

from __future__ import annotations

from typing import Any

from provision.engine.conclude import conclude
from provision.events import StepResult
from provision.report._model import Package, Report
from provision.results import CheckResult, CheckResults, Figure
from tests.plan.described import plan

GPUS = tuple(str(gpu) for gpu in range(8))
WAYS = ("SDPA flash", "SDPA cuDNN", "SDPA math", "flash-attn 2", "vLLM FlashAttention")
TOKENS = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
_OUTCOMES = {
    3: "fail",
    50: "fail",
    77: "error",
    12: "warn",
    140: "warn",
    60: "skip",
    61: "skip",
    199: "skip",
}
_STEPS = (
    (10, "preflight", 1.2),
    (20, "toolchain", 0.4),
    (30, "python", 2.1),
    (40, "torch", 48.3),
    (50, "vllm", 61.9),
    (60, "flash_attn", 12.4),
    (70, "huggingface", 3.3),
    (80, "launchers", 0.1),
    (90, "lock", 0.2),
)


def big_report(outcomes: dict[int, Any] | None = None, checks: int = 200, **changes: Any) -> Report:
    """Return the report; `outcomes` has those other than "pass", by the place of the check."""
    figures = _figures()
    tried = [
        _check(at, (_OUTCOMES if outcomes is None else outcomes).get(at, "pass"), figures)
        for at in range(checks)
    ]
    fields: dict[str, Any] = {
        "run": "20261120T031412Z-7f3a",
        "started": "2026-11-20T03:14:12Z",
        "seconds": 412.7,
        "tool": "0.1.0",
        "host": {"platform": "manylinux_2_39_x86_64", "id": "5ad1", "facts": _facts()},
        "plan": plan("{name: NVIDIA H100 80GB HBM3, count: 8}"),
        "generation": "20261120T031412Z-7f3a",
        "packages": {"vllm": Package(version="0.33.0"), "torch": Package(version="2.13.0")},
        "gpus": GPUS,
        "steps": tuple(
            StepResult(number=n, name=name, outcome="done", seconds=s) for n, name, s in _STEPS
        ),
        "commands": {
            "40-torch": ("uv pip install --no-deps torch==2.13.0",),
            "50-vllm": ("uv pip install vllm",),
        },
        "promised": tuple(check.name for check in tried if check.outcome != "skip"),
        "checks": tuple(tried),
        "figures": figures if checks >= len(_MEASURING) else (),
    }
    conclusion = conclude(
        CheckResults(checks=tuple(tried), figures=fields["figures"]), fields["promised"], GPUS
    )
    verdict = {"verdict": conclusion.verdict, "exit_code": conclusion.exit_code}
    return Report(**{**fields, **verdict, **changes})


_MEASURING = (
    "speed_attention",
    "odd_pair_out",
    "speed_matmul",
    "speed_copy",
    "speed_decode",
    "vllm_bench",
)


def _check(at: int, outcome: Any, figures: tuple[Figure, ...]) -> CheckResult:
    name = _MEASURING[at] if at < len(_MEASURING) else f"claim_{at:03}"
    return CheckResult(
        name=name,
        outcome=outcome,
        weight="should" if outcome == "warn" else "must",
        proves=f"what claim {at} says holds on every GPU",
        summary={
            "pass": "largest error 0.41 of what is allowed, on 8 GPUs",
            "fail": f"GPU {at % 8}: 3 of 4096 tiles are off by more than 0.02",
            "error": "ended by SIGSEGV",
            "warn": f"GPU {at % 8} is 14 % slower than its like",
            "skip": "needs compute capability 10.0",
        }[outcome],
        hint={
            "fail": "look at `nvidia-smi -q -d ECC`, and try this GPU alone",
            "error": "its log has the traceback",
        }.get(outcome, ""),
        evidence={
            "tiles": [{"at": [i, 7 * i], "error": 0.013 * i} for i in range(6)],
            "dtype": "bfloat16",
            "seed": at,
        },
        seconds=0.7 + at % 9,
        every_gpu=outcome in ("pass", "warn"),
        gpus=GPUS,
        measured=sum(figure.check == name for figure in figures),
    )


def _figures() -> tuple[Figure, ...]:
    return (*_attention(), *_peers(), *_others())


def _attention() -> list[Figure]:
    figures = []
    for gpu in range(8):
        for pass_, work in (("forward", 1.0), ("backward", 2.5)):
            for at, way in enumerate(WAYS):
                for tokens in TOKENS:
                    of = {"on": f"GPU {gpu}", "way": way, "tokens": str(tokens), "pass": pass_}
                    speed = (620 - 90 * at - 6 * gpu) * tokens / (tokens + 1500) / work**0.3
                    time = 4e-9 * tokens**2 * work / speed * 4096
                    memory = (
                        0.25
                        * tokens
                        * (1 + at)
                        * work
                        * (tokens / 512 if way == "SDPA math" else 1)
                    )
                    lost = way == "SDPA math" and tokens > 16384
                    for name, unit, value, better in (
                        ("attention", "TFLOP/s", speed, "higher"),
                        ("attention time", "ms", time, "lower"),
                        ("attention memory", "MB", memory, "lower"),
                    ):
                        figures.append(
                            _figure(
                                "speed_attention",
                                name,
                                of,
                                "OutOfMemoryError" if lost else value,
                                unit,
                                better,
                            )
                        )
    return figures


def _peers() -> list[Figure]:
    return [
        _figure(
            "odd_pair_out",
            "peer copy",
            {"from": f"GPU {a}", "to": f"GPU {b}", "link": "NV18"},
            201.0 if (a, b) == (2, 5) else 368.0 + (a * 7 + b * 3) % 11,
            "GB/s",
            "higher",
        )
        for a in range(8)
        for b in range(8)
        if a != b
    ]


def _others() -> list[Figure]:
    figures = []
    for gpu in range(8):
        on = {"on": f"GPU {gpu}"}
        for precision, speed in (("float32", 51.0), ("bfloat16", 690.0), ("float8", 1280.0)):
            of = {**on, "size": "8192", "precision": precision}
            figures.append(_figure("speed_matmul", "product", of, speed - gpu, "TFLOP/s", "higher"))
        figures.append(
            _figure("speed_copy", "copy in GPU memory", on, 2710.0 - 9 * gpu, "GB/s", "higher")
        )
        figures += [
            _figure(
                "speed_decode",
                "decode",
                {**on, "tokens": str(tokens)},
                2100.0 - tokens / 100,
                "GB/s",
                "higher",
            )
            for tokens in (1024, 8192)
        ]
    figures.append(
        _figure(
            "vllm_bench", "tokens per second", {"requests": "64"}, 10431.0, "tokens/s", "higher"
        )
    )
    figures.append(
        Figure(
            check="vllm_bench",
            name="attention backend",
            of={"on": "GPU 0"},
            value="FLASH_ATTN",
            better="same",
        )
    )
    return figures


def _figure(
    check: str, name: str, of: dict[str, str], value: float | str, unit: str, better: Any
) -> Figure:
    samples = (
        () if isinstance(value, str) else tuple(value * (1 + 0.004 * (at - 2)) for at in range(5))
    )
    return Figure(
        check=check,
        name=name,
        of=of,
        value=value,
        unit=unit,
        better=better,
        samples=samples,
        repeats=len(samples),
        method="CUDA events around 20 launches after 5 to warm up; the median of 5 of these",
    )


def _facts() -> dict[str, Any]:
    gpu = {"name": "NVIDIA H100 80GB HBM3", "cc": "9.0", "memory_gb": 79.6, "mig": False}
    return {
        "gpus": [{"id": id_, **gpu} for id_ in GPUS],
        "driver": {"version": "580.95.05", "flavour": "open"},
        "kernel": "6.8.0-87-generic",
        "os_release": {"id": "ubuntu", "name": "Ubuntu 24.04.3 LTS"},
        "memory": {"total_gb": 2015.6, "available_gb": 1970.2, "limit_gb": None},
        "cpu": {"model": "INTEL(R) XEON(R) PLATINUM 8592+", "cores": 128},
        "glibc": "2.39",
        "container": {"type": "Missing", "why": "absent", "detail": ""},
    }
