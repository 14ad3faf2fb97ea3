"""How long reports take to be told: a host of 8 GPUs and 200 checks, in every format; run it after ./setup.sh.

Whole processes of `vllm-ready report`, the median of some rounds; what `up` leaves behind is rendered in one process.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.startup import PYTHON, seconds  # noqa: E402 - finds its own tree first
from tests.report.big_report import big_report  # noqa: E402 - likewise

PROGRAM = [
    PYTHON,
    "-I",
    "-c",
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from provision.cli import main; main()",
]
ALL = """import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from provision.session import formats, runs
told = runs.read(Path("/"), sys.argv[2])
for name in ("text", "markdown", "json", "junit", "prometheus", "html"):
    assert formats.said(told, name)
"""
FORMATS = {"text": 0.3, "markdown": None, "json": None, "junit": None, "prometheus": None, "html": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        told = big_report()
        path.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1))
        commands = {
            f"`report --format {one}`": ([*PROGRAM, str(ROOT), "report", str(path), "--format", one], goal)
            for one, goal in FORMATS.items()
        }
        commands["all six formats, one process"] = ([PYTHON, "-I", "-c", ALL, str(ROOT), str(path)], 2.0)
        day, python = time.strftime("%Y-%m-%d"), platform.python_version()
        print(f"{day}, {os.cpu_count()} cores, {platform.machine()}, Python {python}")
        size = path.stat().st_size / 2**20
        print(f"{len(told.checks)} checks, {len(told.figures)} figures, {size:.1f} MiB; medians of {rounds} rounds\n")
        print("| what | s | bare Python, s | goal |\n|---|---|---|---|")
        for name, (command, goal) in commands.items():
            seconds(command)  # once for the caches
            pairs = [(seconds(command), seconds([PYTHON, "-I", "-c", "pass"])) for _ in range(rounds)]
            ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
            print(f"| {name} | {ours:.2f} | {bare:.3f} | {f'<= {goal} s' if goal else ''} |")


if __name__ == "__main__":
    main()
