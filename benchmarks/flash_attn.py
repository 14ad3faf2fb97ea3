"""Measure what compiling flash-attn for one architecture saves, and what a kept wheel saves.

A few representative sources are compiled one at a time, for one architecture and for the default
list of four. The common part of all builds (interface, link, setup) is compiled once without any
of them and subtracted. The unit is CPU seconds. Then a wheel is used as on a second host: read,
compared with torch, and installed.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from provision.binary import libraries, wheel  # noqa: E402 - the path is set first
from provision.catalog import rows  # noqa: E402 - likewise
from provision.doors import addresses, download, network  # noqa: E402 - likewise
from provision.engine import bring_up  # noqa: E402 - likewise
from provision.flash_attn import build_steps  # noqa: E402 - likewise
from provision.plan import against_wheel  # noqa: E402 - likewise
from provision.steps import step_50_vllm  # noqa: E402 - likewise

SOURCES = ("flash_fwd_hdim64_bf16_sm80", "flash_bwd_hdim64_bf16_sm80")
NOTHING = "none-of-them"  # a pattern that matches no source
ONE, DEFAULT = "90", "80;90;100;120"
REPEATS = 5


class Toolkit:
    """An environment with torch and a compiler toolkit."""

    def __init__(self, folder: Path, torch: str, cuda: str, compiler: str) -> None:
        self._folder, self._compiler = folder, compiler
        self.python = folder / "env" / "bin" / "python"
        cache = ("--cache-dir", str(folder / "cache"), "--link-mode", "hardlink", "--quiet")
        subprocess.run(
            [bring_up.own_uv(), "venv", "--quiet", "--python", sys.executable, folder / "env"],
            check=True,
        )
        nvcc = f"{build_steps.CUDA_COMPILER}=={cuda}.*"
        self.install(f"torch==={torch}", nvcc, *build_steps.TOOLS, "numpy", options=cache)
        self.packages = next((folder / "env").glob("lib/python*/site-packages"))
        view = folder / "env" / "cuda"
        home = self.packages / "nvidia" / f"cu{cuda.partition('.')[0]}"
        subprocess.run([self.python, "-I", step_50_vllm.LAY_OUT, home, view], check=True)
        self._home = view

    def install(self, *what: str, options: tuple[str, ...] = ()) -> None:
        argv = [bring_up.own_uv(), "pip", "install", "--python", str(self.python), *options, *what]
        subprocess.run(argv, check=True)

    def compile(self, source: Path, only: str, arches: str) -> tuple[float, float, Path]:
        """Compile from scratch; return CPU seconds, seconds and the wheel."""
        work = self._folder / f"{only}-{arches.replace(';', '-')}"
        argv = [
            str(self.python),
            "-I",
            str(build_steps.COMPILE),
            str(source),
            str(work),
            str(work / "dist"),
        ]
        environment = {
            **os.environ,
            "CUDA_HOME": str(self._home),
            "CC": self._compiler,
            "CXX": self._compiler,
            "NVCC_THREADS": "1",
            "FLASH_ATTENTION_FORCE_BUILD": "TRUE",
            "FLASH_ATTN_CUDA_ARCHS": arches,
        }
        cpu_before, began = _cpu(), time.monotonic()
        subprocess.run(
            [*argv, "--jobs", "1", "--std", "17", "--only", only],
            env=environment,
            check=True,
            capture_output=True,
        )
        (wheel_file,) = (work / "dist").glob("*.whl")
        return _cpu() - cpu_before, time.monotonic() - began, wheel_file


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def reuse(toolkit: Toolkit, wheel_file: Path) -> float:
    """Return the seconds to read a kept wheel, compare it with torch and install it."""
    began = time.monotonic()
    truth = wheel.read(wheel_file)
    torch = libraries.read(toolkit.packages / "torch" / "lib")
    if reasons := against_wheel.reasons_against(truth, capabilities=("9.0",), torch=torch):
        raise SystemExit("; ".join(reasons))
    toolkit.install(str(wheel_file), options=("--no-deps", "--reinstall", "--no-cache", "--quiet"))
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", default="2.13.0")
    parser.add_argument("--cuda", default="13.0")
    parser.add_argument("--compiler", default=shutil.which("g++") or "g++")
    parser.add_argument("--work", type=Path, help="a folder on a disk with enough room")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vllm-ready-benchmark-", dir=options.work) as folder:
        measure(Path(folder), options.torch, options.cuda, options.compiler)


def measure(folder: Path, torch: str, cuda: str, compiler: str) -> None:
    toolkit = Toolkit(folder, torch, cuda, compiler)
    version = rows.load().flash_attn_source[0].version
    packages = network.project(addresses.default_index(), "flash-attn").packages
    (published,) = (
        package
        for package in packages
        if package.version == version and package.package_type == "sdist"
    )
    source = folder / published.filename
    download.download(
        published.url, published.digests["sha256"], source, lambda _: None, addresses.Connection()
    )
    host = f"{os.cpu_count()} cores, {platform.machine()}"
    print(f"flash-attn {version}, torch {torch}, CUDA {cuda}; {host}\n")
    print("| source | CPU s, one architecture | CPU s, default list of four | ratio |")
    print("|---|---|---|---|")
    common = {arches: toolkit.compile(source, NOTHING, arches)[0] for arches in (ONE, DEFAULT)}
    for name in SOURCES:
        cpu, seconds, wheel_file = toolkit.compile(source, name, ONE)
        default_cpu, *_ = toolkit.compile(source, name, DEFAULT)
        single, default = cpu - common[ONE], default_cpu - common[DEFAULT]
        print(f"| {name} | {single:.0f} | {default:.0f} | {single / default:.2f} |", flush=True)
    shared = f"{common[ONE]:.0f} | {common[DEFAULT]:.0f}"
    print(f"| (common to every build: interface, link) | {shared} | |\n")
    reused = statistics.median(reuse(toolkit, wheel_file) for _ in range(REPEATS))
    size = wheel_file.stat().st_size / 1e6
    print(f"A wheel of one source ({size:.0f} MB) is compiled in {seconds:.0f} s.")
    print(f"Using it again takes {reused:.2f} s, {reused / seconds:.4f} of that.")


if __name__ == "__main__":
    main()
