"""What compiling flash-attn for one architecture saves beside the default list, and what a kept wheel saves.

A few representative sources are compiled, each alone, for one architecture and for the default list of four; what all
builds have in common (the interface, the link, the setup) is compiled once without any of them and taken off. Told are
CPU seconds. Then a wheel is taken as a second host takes it: read, compared with torch, and installed.
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

from provision.binary import libraries, wheel  # noqa: E402 - likewise
from provision.catalog import rows  # noqa: E402 - likewise
from provision.doors import download, network, sessions  # noqa: E402 - likewise
from provision.engine import bring_up  # noqa: E402 - likewise
from provision.flash_attn import build_steps  # noqa: E402 - finds its own tree first
from provision.plan import against_wheel  # noqa: E402 - likewise
from provision.steps import step_50_vllm  # noqa: E402 - likewise

SOURCES = ("flash_fwd_hdim64_bf16_sm80", "flash_bwd_hdim64_bf16_sm80")
NOTHING = "none-of-them"
ONE, DEFAULT = "90", "80;90;100;120"
REPEATS = 5


class Toolkit:
    """torch and what compiles beside it, in a folder of its own."""

    def __init__(self, folder: Path, torch: str, cuda: str, compiler: str) -> None:
        self._folder, self._compiler = folder, compiler
        self.python = folder / "env" / "bin" / "python"
        cache = ("--cache-dir", str(folder / "cache"), "--link-mode", "hardlink", "--quiet")
        subprocess.run([bring_up.own_uv(), "venv", "--quiet", "--python", sys.executable, folder / "env"], check=True)
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
        """CPU seconds, seconds, and the wheel; from nothing."""
        work = self._folder / f"{only}-{arches.replace(';', '-')}"
        argv = [str(self.python), "-I", str(build_steps.COMPILE), str(source), str(work), str(work / "dist")]
        environment = {
            **os.environ,
            "CUDA_HOME": str(self._home),
            "CC": self._compiler,
            "CXX": self._compiler,
            "NVCC_THREADS": "1",
            "FLASH_ATTENTION_FORCE_BUILD": "TRUE",
            "FLASH_ATTN_CUDA_ARCHS": arches,
        }
        before, began = _cpu(), time.monotonic()
        subprocess.run(
            [*argv, "--jobs", "1", "--std", "17", "--only", only], env=environment, check=True, capture_output=True
        )
        (made,) = (work / "dist").glob("*.whl")
        return _cpu() - before, time.monotonic() - began, made


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def taken(toolkit: Toolkit, made: Path) -> float:
    """Seconds until a wheel that is there already is looked at, compared with torch and installed."""
    began = time.monotonic()
    truth = wheel.read(made)
    torch = libraries.read(toolkit.packages / "torch" / "lib")
    if reasons := against_wheel.against(truth, capabilities=("9.0",), torch=torch):
        raise SystemExit("; ".join(reasons))
    toolkit.install(str(made), options=("--no-deps", "--reinstall", "--no-cache", "--quiet"))
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", default="2.13.0")
    parser.add_argument("--cuda", default="13.0")
    parser.add_argument("--compiler", default=shutil.which("g++") or "g++")
    parser.add_argument("--work", type=Path, help="where to compile (a folder on a disk with room)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vllm-ready-benchmark-", dir=asked.work) as folder:
        measure(Path(folder), asked.torch, asked.cuda, asked.compiler)


def measure(folder: Path, torch: str, cuda: str, compiler: str) -> None:
    toolkit = Toolkit(folder, torch, cuda, compiler)
    version = rows.load().flash_attn_source[0].version
    pages = network.project(network.default_index(), "flash-attn").packages
    (published,) = (one for one in pages if one.version == version and one.package_type == "sdist")
    source = folder / published.filename
    download.download(published.url, published.digests["sha256"], source, lambda _: None, sessions.Connection())
    print(f"flash-attn {version}, torch {torch}, CUDA {cuda}; {os.cpu_count()} cores, {platform.machine()}\n")
    print("| source | CPU s, one architecture | CPU s, default list of four | ratio |\n|---|---|---|---|")
    common = {arches: toolkit.compile(source, NOTHING, arches)[0] for arches in (ONE, DEFAULT)}
    for name in SOURCES:
        one, took, made = toolkit.compile(source, name, ONE)
        four, *_ = toolkit.compile(source, name, DEFAULT)
        own, all_four = one - common[ONE], four - common[DEFAULT]
        print(f"| {name} | {own:.0f} | {all_four:.0f} | {own / all_four:.2f} |", flush=True)
    print(f"| (what every build has: interface, link) | {common[ONE]:.0f} | {common[DEFAULT]:.0f} | |\n")
    again = statistics.median(taken(toolkit, made) for _ in range(REPEATS))
    size = made.stat().st_size / 1e6
    print(f"A wheel of one source ({size:.0f} MB) is compiled in {took:.0f} s, and taken again in {again:.2f} s,")
    print(f"which is {again / took:.4f} of it.")


if __name__ == "__main__":
    main()
