"""A real vLLM on this host's CPU, which `up` has built, and code tried in its Python."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.doors import addresses, network
from provision.engine import launch_checks
from provision.report import read
from provision.results import CheckResult, CheckResults

ROOT = Path(__file__).parents[2]
SHARED = "VLLM_READY_TEST_SHARED"  # names the folder that all workers share
START = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from provision.cli import main; main()"
_PRELUDE = f"""
import json, sys
sys.path.insert(0, {str(ROOT)!r})
import torch
from checks import _devices, _numbers
from checks._contract import Context
results = {{}}
"""


class Place:
    """A prefix of its own, and the program run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = folder / "envs-ü"  # a space is more than torch.compile can do

    @property
    def python(self) -> str:
        return str(self.prefix / "current" / "bin" / "python")

    def run(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        folders = [f"{name}={self.folder / name}" for name in ("logs", "tasks")]
        mine = [
            "--prefix",
            str(self.prefix),
            *(word for folder in folders for word in ("--set", folder)),
        ]
        return subprocess.run(
            [sys.executable, "-I", "-c", START, *argv, *mine],
            capture_output=True,
            text=True,
            check=False,
            timeout=1500,
            env={**os.environ, "TMPDIR": str(self.folder), **env},
        )


class BroughtUp(Place):
    """The place after the run that everything rests on, which is made where there has been none."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        report = folder / "up.json"
        if not report.exists():
            needs(folder, gigabytes=8)
            done = self.run("up", "--yes", "--json", "--set", "profile=cpu")
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
            report.write_text(done.stdout)
        self.report = read.report(report.read_bytes(), "up.json")

    def check(self, name: str) -> CheckResult:
        return next(check for check in self.report.checks if check.name == name)


class Vllm:
    """A Python that has torch and vLLM."""

    def __init__(self, python: str) -> None:
        self.python = python

    def answers(self, code: str, *arguments: str, **environment: str) -> Any:
        """Run `code` beside torch and the checks, and return `results`; arguments: sys.argv."""
        script = (
            _PRELUDE + textwrap.dedent(code) + "\nprint('\\n' + json.dumps(results, default=vars))"
        )
        argv = [self.python, "-I", "-B", "-c", script, *arguments]
        # Threads that wait for each other crawl where other tests run beside them.
        settings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=settings)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    def tried(self, name: str, logs: Path) -> CheckResults:
        """One check through the launcher, as the engine tries it."""
        result = [check for check in launch_checks.discover() if check.name == name]
        return launch_checks.run(
            self.python, result, launch_checks.CheckContext(profile="cpu"), logs
        )


@contextlib.contextmanager
def locked(name: str, *, alone: bool) -> Iterator[None]:
    """Hold a lock that all workers share, alone or together with others."""
    with (Path(os.environ[SHARED]) / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def needs(folder: Path, gigabytes: int) -> None:
    """Skip where the disk has less room than that, or the index does not answer."""
    if shutil.disk_usage(folder).free < gigabytes * 2**30:
        pytest.skip(f"less than {gigabytes} GB are free in {folder}")
    answer = network.probe({"index": addresses.default_index()}, 10.0)["index"]
    if not answer["answers"]:
        pytest.skip(f"the index does not answer: {answer['detail']}")


def assert_says(found: dict[str, str], expected: dict[str, str]) -> None:
    """Require the expected beginning of each answer; "" stands for a check that passes."""
    assert found.keys() == expected.keys()
    for name, words in expected.items():
        assert bool(found[name]) == bool(words), (name, found[name])
        assert found[name].startswith(words), (name, found[name])
