"""`up` on this very host: a real vLLM on the CPU, from nothing to verified, found whole again, damaged and healed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.doors import network

ROOT = Path(__file__).parents[1]
START = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from provision.cli import main; main()"
NEEDED_GB = 8

pytestmark = pytest.mark.real_vllm


class Place:
    """A prefix of its own, and the program run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = folder / "envs-ü"  # a space is more than torch.compile can do

    def run(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        mine = [
            "--prefix",
            str(self.prefix),
            "--set",
            f"logs={self.folder / 'logs'}",
            "--set",
            f"tasks={self.folder / 'tasks'}",
        ]
        return subprocess.run(
            [sys.executable, "-I", "-c", START, *argv, *mine],
            capture_output=True,
            text=True,
            check=False,
            timeout=1500,
            env={**os.environ, **env},
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One environment for all tests of this file; about a gigabyte is downloaded once, three are written."""
    folder = tmp_path_factory.mktemp("up")
    if shutil.disk_usage(folder).free < NEEDED_GB * 2**30:
        pytest.skip(f"less than {NEEDED_GB} GB are free in {folder}")
    answer = network.probe({"index": network.default_index()}, 10.0)["index"]
    if not answer["answers"]:
        pytest.skip(f"the index does not answer: {answer['detail']}")
    yield Place(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def first(place: Place) -> subprocess.CompletedProcess[str]:
    """The run that everything here rests on."""
    return place.run("up", "--yes", "--json", "--set", "profile=cpu")


def test_one_command_ends_with_a_vllm_that_generated_and_served(
    place: Place, first: subprocess.CompletedProcess[str]
) -> None:
    report = json.loads(first.stdout)
    wrong = [check for check in report["checks"] if check["outcome"] != "pass" and not is_of_this_cpu(check)]
    assert (first.returncode, wrong) == (0, []), first.stderr[-2000:]
    assert (report["schema"], report["verdict"]) == ("vllm-ready/report/1", "verified")
    outcomes = {check["name"]: check["outcome"] for check in report["checks"]}
    assert set(report["plan"]["checks"]) == set(outcomes)
    assert outcomes["vllm_generates"] == outcomes["vllm_serves"] == outcomes["record_whole"] == "pass"
    assert (place.prefix / "current").resolve().name == report["generation"]
    assert "VERIFIED" in (place.folder / "logs" / "summary.txt").read_text()


def is_of_this_cpu(check: dict[str, str]) -> bool:
    """Without VNNI oneDNN's products of int8 are wrong, which is warned of and true."""
    return check["outcome"] == "warn" and check["hint"].startswith("this CPU has no VNNI")


def test_its_vllm_runs_and_activates(place: Place, first: subprocess.CompletedProcess[str]) -> None:
    assert first.returncode == 0
    current = place.prefix / "current"
    said = subprocess.run([current / "bin" / "vllm", "--version"], capture_output=True, text=True, check=True)
    assert "+cpu" in said.stdout
    script = f". '{current}/bin/activate' && command -v vllm && python -c 'import torch; print(torch.__version__)'"
    active = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert str(place.prefix) in active.stdout.splitlines()[0]


def test_the_checks_hold_in_its_python(place: Place, first: subprocess.CompletedProcess[str]) -> None:
    """Whatever else needs a real torch, a real vLLM or both: skipped elsewhere for want of one."""
    assert first.returncode == 0
    asked = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:xdist",
        "-m",
        "real_vllm",
        "tests/checks",
        "tests/flash_attn/test_try_flash_attn.py",
        "tests/flash_attn/test_build_steps.py",
    ]
    env = {**os.environ, "VLLM_READY_TEST_ENV": str(place.prefix / "current" / "bin" / "python")}
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1500, env=env)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "skipped" not in done.stdout.splitlines()[-1], done.stdout[-5000:]


def test_nothing_to_do_needs_no_network_and_writes_nothing(
    place: Place, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0
    before = {path: path.lstat().st_mtime_ns for path in place.prefix.rglob("*")}
    again = place.run("up", "--set", "profile=cpu", PIP_INDEX_URL="http://127.0.0.1:9/simple", UV_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stdout
    after = {path: path.lstat().st_mtime_ns for path in place.prefix.rglob("*")}
    assert after == before


def test_an_edit_that_hides_is_found_by_the_check_and_then_healed(
    place: Place, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0
    (victim,) = place.prefix.glob("current/lib/python3*/site-packages/torch/version.py")
    whole, status = victim.read_bytes(), victim.stat()
    with victim.open("r+b") as stream:
        stream.write(whole.replace(b"version", b"vErsion", 1))
    os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
    checked = place.run("check", "record_whole")
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert "torch/version.py" in checked.stdout + checked.stderr
    summary = place.folder / "logs" / "summary.txt"
    assert summary.read_text().startswith("NOT VERIFIED")
    healed = place.run("provision", "--set", "profile=cpu")
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert victim.read_bytes() == whole
    assert summary.read_text().startswith("VERIFIED")
