"""Measure how long reports take in every format, for a host of 8 GPUs and 200 checks.

Run it after ./setup.sh. A row is the median time of a whole process of `vllm-ready report`; the
last row renders all formats in one process, as `up` does.
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
report = runs.read(Path("/"), sys.argv[2])
for name in ("text", "markdown", "json", "junit", "prometheus", "html"):
    assert formats.said(report, name)
"""
FORMATS = {
    "text": 0.3,
    "markdown": None,
    "json": None,
    "junit": None,
    "prometheus": None,
    "html": None,
}


def main() -> None:
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
                goal,
            )
            for name, goal in FORMATS.items()
        }
        commands["all six formats, one process"] = (
            [PYTHON, "-I", "-c", ALL, str(ROOT), str(path)],
            2.0,
        )
        day, python = time.strftime("%Y-%m-%d"), platform.python_version()
        print(f"{day}, {os.cpu_count()} cores, {platform.machine()}, Python {python}")
        size = path.stat().st_size / 2**20
        counts = f"{len(report.checks)} checks, {len(report.figures)} figures, {size:.1f} MiB"
        print(f"{counts}; medians of {rounds} rounds\n")
        print("| what | s | bare Python, s | goal |\n|---|---|---|---|")
        for name, (command, goal) in commands.items():
            seconds(command)  # fill the caches
            bare_python = [PYTHON, "-I", "-c", "pass"]
            pairs = [(seconds(command), seconds(bare_python)) for _ in range(rounds)]
            ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
            print(f"| {name} | {ours:.2f} | {bare:.3f} | {f'<= {goal} s' if goal else ''} |")


if __name__ == "__main__":
    main()
