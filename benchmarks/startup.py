"""Measure the start-up of vllm-ready as ratios within one run. Run it after ./setup.sh.

Each command is timed as a whole process, right before the process that it is compared with. The
result is the median of the ratios of these pairs, so that a busy machine slows down both. Nothing
here uses the network.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = str(ROOT / ".venv" / "bin" / "python")
PROGRAM = str(ROOT / ".venv" / "bin" / "vllm-ready")
# The third-party modules that a plan for a described host imports.
THIRD_PARTY = "import msgspec, yaml, packaging.version, packaging.specifiers"
HOST = str(ROOT / "tests" / "hosts" / "h100-550.yaml")
# The most work for the planner: GPUs that no vLLM runs, beside an old driver, Python and glibc.
THREE_KINDS = """
gpus:
- {name: Tesla P100-PCIE-16GB, count: 2}
- {name: Tesla V100-SXM2-32GB, count: 2}
- {name: NVIDIA A100-SXM4-80GB, count: 2}
driver: "525.60.13"
python: "3.10"
glibc: "2.28"
machine: x86_64
"""

PAIRS = {
    "--version": ([PROGRAM, "--version"], [PYTHON, "-I", "-c", "pass"], 1.5),
    "--help": ([PROGRAM, "--help"], [PYTHON, "-I", "-c", "pass"], 2.5),
    "plan --host FILE --json": (
        [PROGRAM, "plan", "--host", HOST, "--json"],
        [PYTHON, "-I", "-c", THIRD_PARTY],
        1.5,
    ),
    "plan --host - --json (3 kinds of GPU)": (
        [PROGRAM, "plan", "--host", "-", "--json"],
        [PYTHON, "-I", "-c", THIRD_PARTY],
        1.5,
    ),
    "./setup.sh --version": ([str(ROOT / "setup.sh"), "--version"], [PROGRAM, "--version"], None),
}


def seconds(command: Sequence[str]) -> float:
    """Return how long a command runs."""
    start = time.perf_counter()
    # Only `plan --host -` reads its standard input.
    subprocess.run(
        command, check=True, input=THREE_KINDS.encode(), stdout=subprocess.DEVNULL, cwd="/"
    )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=41)
    parser.add_argument("--prefix", help="also time a second ./setup.sh on this verified prefix")
    options = parser.parse_args()
    pairs = options.pairs
    if options.prefix:
        again = [str(ROOT / "setup.sh"), "up", "--prefix", options.prefix]
        PAIRS["./setup.sh again"] = (again, [PYTHON, "-I", "-c", "pass"], 30)
    day, python = time.strftime("%Y-%m-%d"), platform.python_version()
    print(f"{day}, {os.cpu_count()} cores, {platform.machine()}, Python {python}")
    print(f"medians of {pairs} interleaved pairs\n")
    print("| command | ms | compared with, ms | ratio | goal |\n|---|---|---|---|---|")
    for name, (ours, theirs, goal) in PAIRS.items():
        seconds(ours), seconds(theirs)  # fill the caches
        timed = [(seconds(ours), seconds(theirs)) for _ in range(pairs)]
        ratio = statistics.median(mine / other for mine, other in timed)
        mine, other = (statistics.median(column) * 1000 for column in zip(*timed, strict=True))
        limit = f"<= {goal}" if goal else ""
        print(f"| `{name}` | {mine:.1f} | {other:.1f} | {ratio:.2f} | {limit} |")


if __name__ == "__main__":
    main()
