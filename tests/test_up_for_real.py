"""`up` on this host: a real vLLM on the CPU, built, verified, found intact, damaged, repaired."""

from __future__ import annotations

import os
import subprocess

import msgspec
import pytest

from provision.engine import resolution_cache as wanted
from provision.results import CheckResult
from tests.checks import real


def test_one_command_ends_with_a_vllm_that_generated_and_served(brought_up: real.BroughtUp) -> None:
    report = brought_up.report
    wrong = [
        check for check in report.checks if check.outcome != "pass" and not is_of_this_cpu(check)
    ]
    assert wrong == []
    assert (report.schema, report.verdict) == ("vllm-ready/report/1", "verified")
    assert report.plan
    assert set(report.plan.checks) == {check.name for check in report.checks}
    for name in ("vllm_generates", "vllm_serves", "record_whole"):
        assert brought_up.check(name).outcome == "pass"
    assert "left_running" not in brought_up.check("vllm_serves").evidence
    assert (brought_up.prefix / "current").resolve().name == report.generation
    assert "VERIFIED" in (brought_up.folder / "logs" / "summary.txt").read_text()


def is_of_this_cpu(check: CheckResult) -> bool:
    """Without VNNI oneDNN's products of int8 are wrong, which is warned of and true."""
    return check.outcome == "warn" and check.hint.startswith("this CPU has no VNNI")


def test_its_vllm_runs_and_activates(brought_up: real.BroughtUp) -> None:
    current = brought_up.prefix / "current"
    done = subprocess.run(
        [current / "bin" / "vllm", "--version"], capture_output=True, text=True, check=True
    )
    assert "+cpu" in done.stdout
    script = f". '{current}/bin/activate' && command -v vllm && python -c 'import torch; print(torch.__version__)'"
    active = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert str(brought_up.prefix) in active.stdout.splitlines()[0]


@pytest.mark.alone
def test_nothing_to_do_needs_no_network_and_writes_nothing(brought_up: real.BroughtUp) -> None:
    prefix = brought_up.prefix
    before = {path: path.lstat().st_mtime_ns for path in prefix.rglob("*")}
    again = brought_up.run(
        "up", "--set", "profile=cpu", PIP_INDEX_URL="http://127.0.0.1:9/simple", UV_OFFLINE="1"
    )
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stdout
    after = {path: path.lstat().st_mtime_ns for path in prefix.rglob("*")}
    assert after == before


@pytest.mark.alone
def test_an_edit_that_hides_is_found_by_the_check_and_then_healed(
    brought_up: real.BroughtUp, request: pytest.FixtureRequest
) -> None:
    """Check a repaired environment again: with --long by all checks, else by the quickest."""
    (victim,) = brought_up.prefix.glob("current/lib/python3*/site-packages/torch/version.py")
    whole, status = victim.read_bytes(), victim.stat()
    with victim.open("r+b") as stream:
        stream.write(whole.replace(b"version", b"vErsion", 1))
    os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
    checked = brought_up.run("check", "record_whole")
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert "torch/version.py" in checked.stdout + checked.stderr
    summary = brought_up.folder / "logs" / "summary.txt"
    assert summary.read_text().startswith("NOT VERIFIED")
    if not request.config.getoption("--long"):
        before = wanted.load(brought_up.prefix)
        assert before
        few = ("distributions_as_locked", "record_whole", "extensions_import")
        plan = msgspec.structs.replace(before.plan, checks=few)
        wanted.save(brought_up.prefix, msgspec.structs.replace(before, plan=plan))
    healed = brought_up.run("provision", "--set", "profile=cpu")
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert victim.read_bytes() == whole
    assert summary.read_text().startswith("VERIFIED")
