"""`up` on this host: a real vLLM on the CPU, built, verified, found intact, damaged, repaired."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import msgspec
import pytest

from provision.engine import resolution_cache as wanted
from provision.engine import verified
from provision.results import CheckResult
from tests.checks import real
from tests.engine import small_index


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


def test_a_plan_says_that_it_is_installed(brought_up: real.BroughtUp) -> None:
    done = brought_up.run("plan", "--set", "profile=cpu")
    assert done.stdout.endswith(
        f"in use: {brought_up.report.generation} has these versions already\n"
    )


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


INSTALL = """
shopt -s expand_aliases
alias pip={shims}/pip
export PATH={shims}:$PATH
. {current}/bin/activate
offline="--no-index --find-links {wheels}"
pip install $offline tiny-pip
python -m pip install $offline tiny-module
uv pip install $offline tiny-uv
if pip install $offline torch==1.0; then exit 7; fi
if uv pip install $offline torch==1.0; then exit 8; fi
"""


@pytest.mark.alone
def test_packages_can_be_added_and_the_lock_is_held(
    brought_up: real.BroughtUp, tmp_path: Path
) -> None:
    """By pip, its module and uv, where another pip comes first on PATH and is an alias, too."""
    names = ("tiny-pip", "tiny-module", "tiny-uv")
    for name in names:
        small_index.wheel(tmp_path / "wheels", name, "1.0")
    small_index.wheel(tmp_path / "wheels", "torch", "1.0")
    shim = tmp_path / "shims" / "pip"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho another pip >&2; exit 9\n")
    shim.chmod(0o755)
    current = brought_up.prefix / "current"
    script = INSTALL.format(
        shims=shim.parent, current=shlex.quote(str(current)), wheels=tmp_path / "wheels"
    )
    clean = {
        name: text for name, text in os.environ.items() if not name.startswith(("PIP_", "UV_"))
    }
    done = subprocess.run(
        ["bash", "-ec", script], capture_output=True, text=True, check=False, env=clean
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "another pip" not in done.stderr
    try:
        checked = brought_up.run("check", "distributions_as_locked", "--json")
        (result,) = json.loads(checked.stdout)["checks"]
        assert result["outcome"] == "pass"
        assert "added by hand" in result["summary"]
        assert all(f"{name} 1.0" in result["evidence"]["extra"] for name in names)
    finally:
        pip = (current / "bin" / "python", "-m", "pip", "uninstall", "--yes", *names)
        subprocess.run(pip, check=True, capture_output=True, env=clean)


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
    assert summary.read_text().startswith("VERIFIED"), "one check is no verdict"
    assert verified.read_report(brought_up.prefix / "current") is None, "it is verified again"
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
