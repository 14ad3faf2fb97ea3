"""What keeping the checks apart costs: 200 empty ones beside bare process starts, the kernels beside one process.

Ratios within one run, the sides taken in turns. The bare process calls the same bodies one after the other, without
deadlines, verdict files or anybody who would notice its death.
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
CHECK = Check(name={name!r}, title="empty", proves="nothing", step=10, weight="must", on="environment",
    profile="passive", deadline_s=20.0, body=lambda context: Verdict(passed=True, summary=""))
"""
COUNT = 200
KERNELS = ("matmul", "sdpa", "vllm_activation", "vllm_paged_attention", "vllm_rms_norm", "vllm_rotary")
BARE = """import sys, tempfile
sys.path.insert(0, sys.argv[1])
import importlib
from checks._contract import Context
for name in sys.argv[3:]:
    context = Context(profile=sys.argv[2], scratch=tempfile.mkdtemp())
    assert importlib.import_module(f"checks.{name}").CHECK.body(context).passed, name
"""


def seconds(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def in_turns(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Medians of both, and of their ratios."""
    timed = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    mine, other = (statistics.median(column) for column in zip(*timed, strict=True))
    return mine, other, statistics.median(one / beside for one, beside in timed)


def tried(python: str, names: list[str], profile: str, folder: Path, work: Path) -> None:
    found = [one for one in launch_checks.discover(folder) if one.name in names]
    context = launch_checks.Context(profile="cpu" if profile == "cpu" else "cuda")
    results = launch_checks.run(python, found, context, work / "logs", folder=folder).checks
    assert {one.outcome for one in results} == {"pass"}, [one for one in results if one.outcome != "pass"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--python", default=str(ROOT / "envs" / "current" / "bin" / "python"), help="with vLLM")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    python, rounds = asked.python, asked.rounds
    profile = promised_checks.interpreter(python).profile
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, torch for {profile}")
    print(f"medians of {rounds} rounds\n\n| what | s | compared with, s | ratio | goal |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        folder = work / "checks"
        shutil.copytree(launch_checks.CHECKS, folder, ignore=shutil.ignore_patterns("[!_]*.py", "__pycache__"))
        names = [f"empty_{number}" for number in range(COUNT)]
        for name in names:
            (folder / f"{name}.py").write_text(EMPTY.format(name=name))
        bare = [python, "-I", "-B", "-c", "pass"]
        ours, theirs, ratio = in_turns(
            lambda: tried(python, names, profile, folder, work),
            lambda: [subprocess.run(bare, check=True) for _ in range(COUNT)],
            rounds,
        )
        print(
            f"| {COUNT} empty checks, beside as many bare Pythons | {ours:.2f} | {theirs:.2f} | {ratio:.2f} | <= 1.5 |"
        )
        there = [name for name in KERNELS if (launch_checks.CHECKS / f"{name}.py").exists()]
        script = [python, "-I", "-B", "-c", BARE, str(ROOT), profile, *there]
        ours, theirs, ratio = in_turns(
            lambda: tried(python, there, profile, launch_checks.CHECKS, work),
            lambda: subprocess.run(script, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
            rounds,
        )
        told = f"the kernels ({', '.join(there)}), beside one process"
        print(f"| {told} | {ours:.2f} | {theirs:.2f} | {ratio:.2f} | <= 1.5 |")


if __name__ == "__main__":
    main()
