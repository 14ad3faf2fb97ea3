"""Measure the cost of isolating checks, beside process starts and beside a single process.

Ratios within one run, both sides in turns. The single process calls the same bodies one after the
other, without deadlines, result files, or a process that would notice its death.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from provision.engine import launch_checks, promised_checks  # noqa: E402 - finds its own tree first

EMPTY = """from ._contract import Check, Verdict
def body(context):
    return Verdict(passed=True, summary="")
CHECK = Check(proves="nothing", step=10, profile="passive", body=body)
"""
COUNT = 200
KERNELS = (
    "matmul",
    "sdpa",
    "vllm_activation",
    "vllm_paged_attention",
    "vllm_rms_norm",
    "vllm_rotary",
)
BARE = """import sys, tempfile
sys.path.insert(0, sys.argv[1])
import importlib
from checks._contract import Context
for name in sys.argv[3:]:
    context = Context(profile=sys.argv[2], scratch=tempfile.mkdtemp())
    assert importlib.import_module(f"checks.{name}").CHECK.body(context).passed, name
"""


def seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def in_turns(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int
) -> tuple[float, float, float]:
    """Return the medians of both, and of their ratios."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    return medians[0], medians[1], statistics.median(mine / other for mine, other in pairs)


def run_checks(python: str, names: list[str], profile: str, folder: Path, work: Path) -> None:
    checks = [check for check in launch_checks.discover(folder) if check.name in names]
    context = launch_checks.CheckContext(profile="cpu" if profile == "cpu" else "cuda")
    results = launch_checks.run(python, checks, context, work / "logs", folder=folder).checks
    others = [result for result in results if result.outcome != "pass"]
    assert not others, others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--python", default=str(ROOT / "envs" / "current" / "bin" / "python"), help="with vLLM"
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    python, rounds = options.python, options.rounds
    profile = promised_checks.inspect_interpreter(python).profile
    host = f"{os.cpu_count()} cores, {platform.machine()}, torch for {profile}"
    print(f"{time.strftime('%Y-%m-%d')}, {host}\nmedians of {rounds} rounds\n")
    print("| what | s | compared with, s | ratio | goal |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        folder = work / "checks"
        shutil.copytree(
            launch_checks.CHECKS, folder, ignore=shutil.ignore_patterns("[!_]*.py", "__pycache__")
        )
        names = [f"empty_{number}" for number in range(COUNT)]
        for name in names:
            (folder / f"{name}.py").write_text(EMPTY.format(name=name))
        bare = [python, "-I", "-B", "-c", "pass"]
        ours, theirs, ratio = in_turns(
            lambda: run_checks(python, names, profile, folder, work),
            lambda: [subprocess.run(bare, check=True) for _ in range(COUNT)],
            rounds,
        )
        row = f"{COUNT} empty checks, beside as many bare Pythons"
        print(f"| {row} | {ours:.2f} | {theirs:.2f} | {ratio:.2f} | <= 1.5 |")
        kernels = [name for name in KERNELS if (launch_checks.CHECKS / f"{name}.py").exists()]
        script = [python, "-I", "-B", "-c", BARE, str(ROOT), profile, *kernels]
        ours, theirs, ratio = in_turns(
            lambda: run_checks(python, kernels, profile, launch_checks.CHECKS, work),
            lambda: subprocess.run(
                script, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ),
            rounds,
        )
        row = f"the kernels ({', '.join(kernels)}), beside one process"
        print(f"| {row} | {ours:.2f} | {theirs:.2f} | {ratio:.2f} | <= 1.5 |")


if __name__ == "__main__":
    main()
