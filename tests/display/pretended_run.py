"""A run without an engine, for tests on terminals of every kind; the argument is how it ends."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from provision.display import progress, terminal
from provision.events import (
    CheckDone,
    CheckStarted,
    CommandStarted,
    Line,
    Note,
    Progress,
    StepDone,
    StepResult,
    StepStarted,
)
from provision.results import CheckResult

WHEELS = "download torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl and 12 more files"


def main() -> None:
    options = argparse.Namespace(quiet=False, json=False, stream=None)
    with progress.listening(options) as tell:
        tell(StepStarted(number=40, name="torch", title="PyTorch"))
        tell(CommandStarted(title="install torch", command="uv", log="/log"))
        tell(Line(text="Downloading \x1b[31mtörch\x1b[0m\x1b[2J" + " and more" * 40))
        for done in range(11):
            tell(Progress(title=WHEELS, done=done * 10**9, total=10**10, unit="bytes"))
            time.sleep(0.06)
        tell(StepDone(result=StepResult(number=40, name="torch", outcome="done", seconds=1.0)))
        tell(
            Note(
                text="numpy is torn and is installed anew: "
                + "numpy/core/_multiarray_umath.so " * 6
            )
        )
        tell(CheckStarted(name="record_whole", title="Files as recorded"))
        time.sleep(0.15)
        summary = "41232 files of 181 distributions are as recorded … " + "word " * 30
        tell(CheckDone(result=CheckResult(name="record_whole", outcome="pass", summary=summary)))
        tell(StepStarted(number=50, name="vllm", title="vLLM"))
        tell(CommandStarted(title="install vLLM", command="uv", log="/log"))
        if sys.argv[1] == "hang":
            time.sleep(60)
        time.sleep(0.15)
        if sys.argv[1] == "fail":
            tell(
                StepDone(result=StepResult(number=50, name="vllm", outcome="failed", problem="no"))
            )
    terminal.note("error: no\n hint: again")


if __name__ == "__main__":
    main()
