"""The plans of every recorded host, a lock for each, and the places that the tests' steps name."""

from __future__ import annotations

from pathlib import Path

import msgspec

from provision.engine.discover_steps import discover
from provision.plan._model import Plan
from provision.steps.model import Lock, Pin, Site, Wheel

TESTS = Path(__file__).parents[1]
SITE = Site(
    generation="/data/my envs/20261120T072400Z-1a2b",
    prefix="/data/my envs",
    uv="/opt/uv",
    host_python="/usr/bin/python3",
    temporary="/tmp",
    logs="/opt/vllm-ready/logs/20261022T060000Z-abcd",
)
STEPS = discover()


def load_plan(path: Path) -> Plan | None:
    """Return a recorded plan; None where nothing can be planned for that host."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except msgspec.ValidationError:
        return None


PLANNED = {
    path.stem: plan for path in sorted((TESTS / "plans").iterdir()) if (plan := load_plan(path))
}


def lock_of(plan: Plan) -> Lock:
    """Return the same lock for every host but for the planned versions and a planned flash-attn."""
    vllm, torch = plan.packages["vllm"], plan.packages["torch"]
    assert vllm
    assert torch
    versions = {
        "cuda-bindings": "13.0",
        "einops": "0.8",
        "huggingface-hub": "1.0",
        "nvidia-nccl-cu13": "2.29",
        "sympy": "1.14",
        "torch": torch.version,
        vllm.distribution or "vllm": vllm.version,
    }
    flash = plan.packages["flash-attn"]
    if flash and plan.flash_attn.mode == "wheel":
        versions["flash-attn"] = flash.version
    pins = (
        Pin(name=name, version=version, wheel=wheel_of(name)) for name, version in versions.items()
    )
    return Lock(pins=tuple(pins))


def wheel_of(name: str) -> Wheel:
    return Wheel(url=f"https://index/{name}.whl", sha256=f"<the hash of {name}>", size=1_000_000)
