"""`python -m checks`: the same children and the same files, for a person at a prompt."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import msgspec
import pytest

from provision.engine import launch_checks
from provision.report._model import Report
from tests.checks.environments import Environment


def by_hand(environment: Environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [environment.python, "-m", "checks", *arguments],
        cwd=launch_checks.CHECKS.parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    made = Environment(tmp_path / "env")
    made.install("alpha", "1.0", {"alpha.py": "one = 1\n"})
    return made


def test_list_and_run(environment: Environment, tmp_path: Path) -> None:
    answer = tmp_path / "answer.json"
    listed = by_hand(environment, "list", "--json", str(answer))
    assert listed.returncode == 0, listed.stderr
    assert [check["name"] for check in json.loads(answer.read_text())] == [c.name for c in launch_checks.discover()]
    done = by_hand(environment, "run", "record_whole", "distributions_as_locked", "--json", str(answer))
    assert done.returncode == 5, "what was asked for by name and skipped is not proved"
    report = msgspec.json.decode(answer.read_bytes(), type=Report)
    assert (report.verdict, report.exit_code) == ("undecided", 5)
    outcomes = {result.name: result.outcome for result in report.checks}
    assert outcomes == {"record_whole": "pass", "distributions_as_locked": "skip"}
    assert by_hand(environment, "run", "record_whole").returncode == 0
    assert by_hand(environment, "run").returncode == 5, "there is no vLLM here"


def test_a_failure_shows_in_the_status(environment: Environment, tmp_path: Path) -> None:
    context = tmp_path / "context.json"
    context.write_text(json.dumps({"pins": {"alpha": "2.0"}}))
    done = by_hand(environment, "run", "distributions_as_locked", "--context", str(context))
    assert done.returncode == 1, done.stderr
    assert "alpha 2.0 became 1.0" in done.stdout
    assert by_hand(environment, "run", "no_such_check").returncode == 2
