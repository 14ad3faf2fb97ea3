"""Triage runs on a broken host: without packages, within its deadlines, and writes nothing."""

from __future__ import annotations

import ast
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from provision.diagnose import catalogue, triage_causes
from provision.diagnose.triage import children, findings, readings
from provision.diagnose.triage.children import Reading

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "provision" / "diagnose" / "triage"
NOTHING: dict[str, dict[str, Any]] = {
    reading.name: {"outcome": "none", "text": ""} for reading in readings.all_readings("/x", "/y")
}


def test_its_causes_are_those_of_the_files(request: pytest.FixtureRequest) -> None:
    document = triage_causes.document(catalogue.load().causes)
    made = msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"
    path = FOLDER / "causes.json"
    if request.config.getoption("--renew-golden"):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8"), "renew it: --renew-golden"


def test_any_python_from_3_6_can_run_it() -> None:
    standard = sys.stdlib_module_names
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 6))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names.append(node.module or "")
            assert {name.partition(".")[0] for name in names} <= standard, path.name
            assert "__future__" not in names, path.name


def test_readings_that_hang_fail_or_die_do_not_keep_the_others() -> None:
    def fail() -> dict[str, Any]:
        raise PermissionError(13, "Permission denied")

    def hang() -> dict[str, Any]:
        subprocess.run(["sleep", "60"], check=False)
        return children.none("")

    began = time.monotonic()
    answers = children.take_all(
        [
            Reading("hangs", 0.5, hang),
            Reading("fails", 5, fail),
            Reading("dies", 5, lambda: os._exit(3)),
            Reading("works", 5, lambda: children.value("x" * 300_000)),
        ]
    )
    assert time.monotonic() - began < 4
    assert {name: answer["outcome"] for name, answer in answers.items()} == {
        "hangs": "timed out",
        "fails": "not readable",
        "dies": "not readable",
        "works": "value",
    }


def test_all_deadlines_together_are_below_thirty_seconds() -> None:
    assert max(reading.deadline for reading in readings.all_readings("/x", "/y")) < 20


@pytest.mark.parametrize(
    ("reading", "answer", "cause", "confidence"),
    [
        ("disks", {"full": ["/"]}, "disk-full", "high"),
        ("fabric manager", {"state": "failed"}, "fabric-manager-not-running", "high"),
        ("driver libraries", {"empty": ["/usr/lib/libcuda.so.1"]}, "empty-driver-libraries", "high"),
        ("devices", {"gpus": 8}, "driver-missing", "high"),
        ("memory", {"oom_kills": 2}, "host-out-of-memory", "medium"),
        ("kernel log", {"text": "[1.0] NVRM: Xid (PCI:0000:c1:00): 79, pid=1"}, "gpu-hardware-fault", "high"),
        ("previous boot", {"text": "GPU has fallen off the bus"}, "gpu-hardware-fault", "high"),
        ("nvidia-smi", {"text": "Failed to initialize NVML: Driver/library version mismatch"}, "nvml-driver-library-mismatch", "high"),
        ("newest failure", {"log": "OSError: [Errno 28] No space left on device"}, "disk-full", "high"),
        ("GPU memory", {"hidden": True, "text": "900 MiB are held, process not visible"}, "gpu-memory-utilization-vs-free", "low"),
    ],
)  # fmt: skip
def test_what_a_reading_shows(
    reading: str, answer: dict[str, Any], cause: str, confidence: str
) -> None:
    found = findings.likeliest({**NOTHING, reading: {"outcome": "value", "text": "", **answer}})
    assert (found[0]["cause"], found[0]["confidence"]) == (cause, confidence)
    assert found[0]["fix"]
    assert findings.likeliest(NOTHING) == []


def test_a_driver_of_another_version_than_its_library() -> None:
    other: dict[str, dict[str, Any]] = {
        "driver": {"outcome": "value", "text": "", "version": "570.124.06"},
        "driver libraries": {"outcome": "value", "text": "", "versions": ["570.124.04"]},
    }
    assert findings.likeliest({**NOTHING, **other})[0]["cause"] == "nvml-driver-library-mismatch"


def test_at_most_three_findings_and_no_secret() -> None:
    log = "\n".join(
        (
            "No space left on device token=hf_" + "a" * 20,
            "Error 802: system not yet initialized",
            "NVRM: Xid (PCI:0000:c1:00): 79, x",
            "Torch not compiled with CUDA enabled",
        )
    )
    found = findings.likeliest(
        {**NOTHING, "newest failure": {"outcome": "value", "text": "", "log": log}}
    )
    assert len(found) == 3
    assert "hf_a" not in str(found)


def fake_programs(folder: Path, texts: dict[str, str]) -> str:
    folder.mkdir()
    for name, text in texts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_no_xid_is_said_only_of_a_log_since_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fake_programs(tmp_path / "bin", {"dmesg": 'echo "[    0.000000] Linux version 6"'})
    monkeypatch.setenv("PATH", path)
    assert "since the start" in readings._kernel_log()["text"]
    (tmp_path / "bin" / "dmesg").write_text("#!/bin/sh\necho '[ 9999.000000] usb 1-1'\n")
    assert "not known" in readings._kernel_log()["text"]
    for name in ("dmesg", "journalctl"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\necho Permission denied; exit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    answer = readings._kernel_log()
    assert (answer["outcome"], answer["command"][:10]) == ("not readable", "sudo dmesg")


def test_memory_that_no_visible_process_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'case "$1" in *compute*) ;; *) echo 4000;; esac'
    monkeypatch.setenv("PATH", fake_programs(tmp_path / "bin", {"nvidia-smi": script}))
    assert readings._holders()["text"] == "4000 MiB are held, process not visible"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose .venv is broken, with a failed run."""
    folder = tmp_path / "checkout"
    shutil.copytree(
        ROOT / "provision", folder / "provision", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy2(ROOT / "setup.sh", folder)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to("/gone")
    run = folder / "logs" / "20261201T000000Z-ab12"
    run.mkdir(parents=True)
    (run / "report.json").write_text('{"verdict": "not verified"}')
    (run / "step.log").write_text("ImportError: libcudart.so.13: cannot open shared object file\n")
    return folder


def setup(checkout: Path, *argv: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    return subprocess.run(
        [shutil.which("bash") or "bash", str(checkout / "setup.sh"), "triage", *argv],
        capture_output=True, text=True, check=False, env=environment, timeout=60,
    )  # fmt: skip


def contents(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def test_setup_sh_triage_with_a_broken_venv_writes_nothing(checkout: Path) -> None:
    before = contents(checkout)
    done = setup(checkout, "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert document["schema"] == "vllm-ready/triage/1"
    assert {one["name"] for one in document["readings"]} == set(NOTHING)
    assert all(
        one["outcome"] in {"value", "none", "not readable", "timed out"}
        for one in document["readings"]
    )
    assert "vllm-wheel-cuda-major-mismatch" in {one["cause"] for one in document["findings"]}
    assert document["next"]
    assert contents(checkout) == before


def test_without_a_python_bash_prints_the_readings(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in (
        "bash",
        "sh",
        "cat",
        "ls",
        "df",
        "head",
        "tail",
        "uname",
        "grep",
        "readlink",
        "timeout",
    ):
        (tools / name).symlink_to(shutil.which(name) or "/bin/false")
    bash = checkout / "provision" / "setup" / "triage.bash"
    bash.write_text(bash.read_text().replace(":/usr/local/bin:/usr/bin", ""))
    done = setup(checkout, path=str(tools))
    assert done.returncode == 5
    assert "no Python 3.6" in done.stderr
    assert "driver" in done.stdout
    assert "next: " in done.stdout


def test_wrong_words_are_refused(checkout: Path) -> None:
    done = setup(checkout, "--frob")
    assert done.returncode == 2
    assert "--frob" in done.stderr


@pytest.mark.long
def test_thirty_seconds_with_every_program_hanging(checkout: Path, tmp_path: Path) -> None:
    names = ("nvidia-smi", "dmesg", "journalctl", "systemctl")
    path = fake_programs(tmp_path / "bin", dict.fromkeys(names, "trap '' TERM; sleep 100"))
    began = time.monotonic()
    done = setup(checkout, "--json", path=path)
    assert time.monotonic() - began < 30
    outcomes = {one["name"]: one["outcome"] for one in json.loads(done.stdout)["readings"]}
    assert outcomes["nvidia-smi"] == "timed out"


def test_the_package_holds_no_executable_file() -> None:
    assert all(not path.stat().st_mode & stat.S_IXUSR for path in FOLDER.glob("*.py"))


def test_an_old_end_of_another_program_is_not_sure() -> None:
    line = "[195.1] Out of memory: Killed process 17 (python) total-vm:1kB"
    for where, level in (("kernel log", "medium"), ("previous boot", "medium")):
        found = findings.likeliest({**NOTHING, where: {"outcome": "value", "text": line}})
        assert [(one["cause"], one["confidence"]) for one in found] == [
            ("host-out-of-memory", level)
        ]
    log = {"outcome": "value", "text": "a run: failed", "log": f"vllm serve\n{line}"}
    (found_in_log,) = findings.likeliest({**NOTHING, "newest failure": log})
    assert found_in_log["confidence"] == "high"
