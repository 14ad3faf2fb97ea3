"""Measure how long every report format takes for a host of 8 GPUs and 200 checks.

Run it after ./setup.sh. A row is the median of whole processes of `vllm-ready report`; the last
row renders in one process what `up` writes.
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

from benchmarks.startup import PYTHON, seconds  # noqa: E402 - needs the path above
from provision.report.format_table import FORMATS  # noqa: E402 - needs the path above
from tests.report.big_report import big_report  # noqa: E402 - needs the path above

PROGRAM = [
    PYTHON,
    "-I",
    "-c",
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from provision.cli import main; main()",
]
ALL = """import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from provision.session import formats, runs
report = runs.read(Path("/"), sys.argv[2])
for name in formats.FORMATS:
    assert formats.render(report, name)
"""
GOALS = {"text": 0.3}
GOAL_OF_ALL = 2.0


def main() -> None:
    """Print a table of times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        report = big_report()
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
        commands = {
            f"`report --format {name}`": (
                [*PROGRAM, str(ROOT), "report", str(path), "--format", name],
                GOALS.get(name),
            )
            for name in FORMATS
        }
        everything = [PYTHON, "-I", "-c", ALL, str(ROOT), str(path)]
        commands["all formats, one process"] = (everything, GOAL_OF_ALL)
        day, python = time.strftime("%Y-%m-%d"), platform.python_version()
        print(f"{day}, {os.cpu_count()} cores, {platform.machine()}, Python {python}")
        size = path.stat().st_size / 2**20
        print(
            f"{len(report.checks)} checks, {len(report.figures)} figures, {size:.1f} MiB;", end=" "
        )
        print(f"medians of {rounds} rounds\n")
        print("| what | s | bare Python, s | goal |\n|---|---|---|---|")
        for name, (command, goal) in commands.items():
            seconds(command)  # fills the caches
            pairs = [
                (seconds(command), seconds([PYTHON, "-I", "-c", "pass"])) for _ in range(rounds)
            ]
            own, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
            print(f"| {name} | {own:.2f} | {bare:.3f} | {f'<= {goal} s' if goal else ''} |")


if __name__ == "__main__":
    main()
